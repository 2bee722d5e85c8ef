"""`python -m benchmarks.search`."""

from benchmarks.search import main

if __name__ == "__main__":
    main()
