"""--fetch_only: downloads a run's models, saying how much, how large and under which licences."""

from temu_vtoff.stages.options import Options


def fetch(options: Options, **stages: bool) -> None:
    """Downloads the models of a run and prints one line for each repository.

    Args:
        stages: Arguments of `needs_of`.

    Raises:
        CheckpointError: The hub refuses or can't be reached.
    """
    from temu_vtoff.stages.fetching import look_up, needs_of  # takes 0.2 s, which --help does not have

    found = [look_up(wanted) for wanted in needs_of(options, **stages)]
    for one in found:
        print(
            f"{one.wanted.source}: {len(one.sizes)} files, {_size(one.bytes)}, {_size(one.here)} of them here; "
            f"licence: {'not stated, see its page' if one.licence is None else one.licence}"
        )
    for one in found:
        for _ in one.download():
            pass
    total = sum(one.bytes for one in found)
    print(f"{sum(len(one.sizes) for one in found)} files, {_size(total)}: all here; the same command now runs offline.")


def _size(count: float) -> str:
    for unit in ("bytes", "KB", "MB"):
        if count < 1000:
            return f"{count:.3g} {unit}"
        count /= 1000
    return f"{count:.1f} GB"
