"""What exports say of a setting, as comments that no text of a profile can break out of. Pure."""

from collections.abc import Sequence

from tuning.profile import Profile, ProfileSetting

_WIDTH = 118


def why(profile: Profile, of: ProfileSetting) -> str:
    """Effect, reason or trigger, and by whose word."""
    effect = f"{of.effect_pct:+.1f} %, {of.blocks} blocks" if of.effect_pct is not None else ""
    words = [effect, of.reason or of.trigger, of.source or ("" if effect else profile.source)]
    return "; ".join(word for word in words if word)


def comment(text: str) -> Sequence[str]:
    """Lines, each of which begins with #, of which no blank of any kind makes another."""
    words, lines = " ".join(text.split()).split(" "), [""]
    for word in words:
        if lines[-1] and len(lines[-1]) + len(word) + 1 > _WIDTH:
            lines.append("")
        lines[-1] = f"{lines[-1]} {word}".strip()
    return [f"# {line}" for line in lines if line]
