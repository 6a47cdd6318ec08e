"""Shares one port of a memory between several users."""

from collections.abc import Sequence

from amaranth.hdl import Const, Module, Signal, Value

from ..interfaces import Stream


def share_stream(m: Module, users: Sequence[Stream], shared: Stream) -> None:
    """Send what `users` send to `shared`, the earliest in the list first. No cycle is lost."""
    before: Value = Const(0)
    for user in users:
        m.d.comb += user.ready.eq(shared.ready & ~before)
        with m.If(user.valid & ~before):
            m.d.comb += [shared.valid.eq(1), Value.cast(shared.payload).eq(Value.cast(user.payload))]
        before = before | user.valid


def share_reads(
    m: Module, users: Sequence[tuple[Stream, Stream]], requests: Stream, answers: Stream, name: str
) -> None:
    """Let several users read a memory that answers in order, with one answer under way at a time.

    Each user is a stream of requests and the stream on which it awaits the answers; the earliest in the list goes
    first. No cycle is lost.
    """
    share_stream(m, [user for user, _ in users], requests)
    owner = Signal(len(users), name=f"{name}_owner")
    for index, (user, answer) in enumerate(users):
        with m.If(user.valid & user.ready):
            m.d.sync += owner.eq(1 << index)
        m.d.comb += [
            answer.valid.eq(answers.valid & owner[index]),
            Value.cast(answer.payload).eq(Value.cast(answers.payload)),
        ]
        with m.If(owner[index]):
            m.d.comb += answers.ready.eq(answer.ready)
