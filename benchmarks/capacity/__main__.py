"""`python -m benchmarks.capacity`."""

from benchmarks.capacity import main

if __name__ == "__main__":
    main()
