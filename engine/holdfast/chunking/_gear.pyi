from holdfast.chunking.base import Buffer

def find_cuts(
    buffer: Buffer,
    length: int,
    final: bool,
    sizes: tuple[int, int, int],
    thresholds: tuple[int, int],
    key: bytes,
    zero_runs: bool,
) -> list[int]: ...
