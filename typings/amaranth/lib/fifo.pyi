from ..hdl import Elaboratable, Signal

class SyncFIFO(Elaboratable):
    w_data: Signal
    w_rdy: Signal
    w_en: Signal
    r_data: Signal
    r_rdy: Signal
    r_en: Signal
    level: Signal
    def __init__(self, *, width: int, depth: int) -> None: ...
