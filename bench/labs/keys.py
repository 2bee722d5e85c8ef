"""Key pairs for SSH, made for one lab and gone with it."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class KeyPair:
    """Ed25519: `private` as OpenSSH's own file format, `public` as the line of authorized_keys."""

    private: bytes
    public: str

    @classmethod
    def made(cls) -> "KeyPair":
        """A new one."""
        from cryptography.hazmat.primitives import serialization as form  # noqa: PLC0415 - 0.1 s, for guests alone
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey  # noqa: PLC0415

        key = Ed25519PrivateKey.generate()
        return cls(
            key.private_bytes(form.Encoding.PEM, form.PrivateFormat.OpenSSH, form.NoEncryption()),
            key.public_key().public_bytes(form.Encoding.OpenSSH, form.PublicFormat.OpenSSH).decode(),
        )
