"""Every exception PFQ raises, one tree; the class says whose fault it is.

    PfqError
      ProgramError              the program is wrong
        LexicalError              PFQ101
        ParseError                PFQ102
        UnknownNameError          PFQ103
        TypeMismatchError         PFQ104
        ArityError                PFQ105
        RangeError                PFQ106
        RecursiveDefinitionError  PFQ107
        ImportFailedError         PFQ108
        DuplicateNameError        PFQ109
        MainError                 PFQ110
        TooBigError               PFQ111
        JsonFormError             PFQ112
        LiteralError              PFQ113
      ProgramErrors             several of them, reported together (PFQ100)
      UsageError                the call or the command line is wrong (PFQ201)
        FileFormatError           PFQ202
        FileAccessError           PFQ203
        NotPermittedError         PFQ204
        VersionError              PFQ205
        ConfigErrors              PFQ206
      MachineError              this machine cannot do it
        KernelTooOldError         PFQ301
        NoPrivilegeError          PFQ302
        DeviceMissingError        PFQ303
        LimitError                PFQ304
        ExtensionError            PFQ305
        DaemonMissingError        PFQ306
        StateError                PFQ307
      RejectedError             the kernel said no
        VerifierError             PFQ401
        AttachConflictError       PFQ402
        KernelRefusedError        PFQ403
      ResourceError             was fine, now is not
        ViewExpiredError          PFQ501
        RingClosedError           PFQ502
        DeviceGoneError           PFQ503
        OutputError               PFQ504
        DaemonGoneError           PFQ505
      InternalError             our bug; please report it (PFQ900)

Each class has one stable code; its docstring is the page that `pfq explain CODE` prints.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import ClassVar

from pfq.source import Span

USAGE_STATUS, REFUSED_STATUS, UNSUPPORTED_STATUS, BUG_STATUS = 1, 2, 3, 70


class PfqError(Exception):
    """Root of all errors of PFQ; catch it to catch every one of them.

    message:  one sentence: what is wrong, in the user's words
    span:     where in the program, when it is a place in a program
    hint:     what to do about it
    notes:    further places that matter, each with a remark
    """

    code: ClassVar[str] = "PFQ000"
    exit_status: ClassVar[int] = USAGE_STATUS

    def __init__(
        self,
        message: str,
        span: Span | None = None,
        hint: str | None = None,
        notes: Sequence[tuple[Span, str]] = (),
    ) -> None:
        super().__init__(message)
        self.message = message
        self.span = span
        self.hint = hint
        self.notes = tuple(notes)

    def __str__(self) -> str:
        at = f"{self.span}: " if self.span else ""
        lines = [f"{at}error[{self.code}]: {self.message}"]
        if self.span:
            lines += self.span.excerpt()
        for span, remark in self.notes:
            lines.append(f"{span}: note: {remark}")
            lines += span.excerpt()
        if self.hint:
            lines.append(f"  hint: {self.hint}")
        return "\n".join(lines)


class ProgramError(PfqError):
    """The program is wrong. It was refused before it reached the kernel; a running one is untouched."""

    code = "PFQ100"


class LexicalError(ProgramError):
    """A character, or a piece of text, that cannot begin any word of pfq-lang.

    Common causes: a string whose closing quote is missing, a typographic quote pasted from a
    document, a tab inside an indented block, or an operator of another language.
    """

    code = "PFQ101"


class ParseError(ProgramError):
    """The words are known but do not form a program: a missing bracket, operand, `=` or `then`."""

    code = "PFQ102"


class UnknownNameError(ProgramError):
    """A name that is neither a primitive, nor defined in the file, nor imported.

    `pfq functions` lists the primitives; `pfq functions --search WORD` searches them.
    """

    code = "PFQ103"


class TypeMismatchError(ProgramError):
    """An expression of one type stands where another type is needed.

    The usual case: a predicate (`is_tcp`) where an action (`tcp`, or `filter is_tcp`) is needed,
    or the other way round. `pfq explain NAME` shows the type of a primitive.
    """

    code = "PFQ104"


class ArityError(ProgramError):
    """A function was given more arguments, or fewer, than it takes."""

    code = "PFQ105"


class RangeError(ProgramError):
    """A number does not fit the type of its parameter, or the primitive does not accept that value."""

    code = "PFQ106"


class RecursiveDefinitionError(ProgramError):
    """A definition needs itself. Programs have no recursion, so that every program ends."""

    code = "PFQ107"


class ImportFailedError(ProgramError):
    """An imported module is neither next to the source nor in the library, cannot be read, or imports itself."""

    code = "PFQ108"


class DuplicateNameError(ProgramError):
    """A name is defined twice in the same scope."""

    code = "PFQ109"


class MainError(ProgramError):
    """`main` is missing, or is not a function from a packet to an action."""

    code = "PFQ110"


class TooBigError(ProgramError):
    """The program is larger, or nested deeper, than the compiler or the kernel accepts."""

    code = "PFQ111"


class JsonFormError(ProgramError):
    """The JSON form of a program is malformed: not an array of descriptors, or a wrong link or argument."""

    code = "PFQ112"


class LiteralError(ProgramError):
    """A literal that means nothing: an address with five parts, a prefix longer than its address."""

    code = "PFQ113"


class ProgramErrors(ProgramError):
    """All the errors of one program, in the order of the text."""

    def __init__(self, faults: Sequence[ProgramError]) -> None:
        super().__init__(f"{len(faults)} errors")
        self.faults = tuple(faults)

    def __iter__(self) -> Iterator[ProgramError]:
        return iter(self.faults)

    def __str__(self) -> str:
        return "\n\n".join(map(str, self.faults))


class UsageError(PfqError):
    """A call or a command line that cannot be carried out as written."""

    code = "PFQ201"


class FileFormatError(UsageError):
    """A capture file is damaged or of a kind that PFQ does not read; the message gives the offset."""

    code = "PFQ202"


class FileAccessError(UsageError):
    """A file cannot be opened, read or created."""

    code = "PFQ203"


class NotPermittedError(UsageError):
    """A group does not let this end-point do that.

    Who may join depends on the policy of the group: `private` only its owner, `restricted` end-points of the
    same process, `shared` all. Only members change what a group does; statistics of groups that are not shared
    are for their owners.
    """

    code = "PFQ204"


class VersionError(UsageError):
    """The daemon and its client speak different versions of the protocol; the message names both.

    It happens when one of them was updated and the other still runs, or comes from another installation. Start the
    older one again. `systemctl kill --kill-whom=main --signal=SIGKILL pfqd` does that to the daemon without a gap:
    packets go on to the readers meanwhile.
    """

    code = "PFQ205"


class ConfigErrors(UsageError):
    """All the faults of a configuration of pfqd. None of it was applied: what was running goes on.

    `pfqd --check -c FILE` lists them without starting anything. The message has them all in short; `faults` are the
    errors themselves, with their places.
    """

    code = "PFQ206"

    def __init__(
        self,
        message: str,
        span: Span | None = None,
        hint: str | None = None,
        notes: Sequence[tuple[Span, str]] = (),
        faults: Sequence[PfqError] = (),
    ) -> None:
        super().__init__(message, span, hint, notes)
        self.faults = tuple(faults)

    def __str__(self) -> str:
        return "\n\n".join(map(str, self.faults)) or super().__str__()


class MachineError(PfqError):
    """This machine cannot do it: the kernel, the rights or the device are missing."""

    code = "PFQ300"
    exit_status = UNSUPPORTED_STATUS


class KernelTooOldError(MachineError):
    """The kernel lacks a feature; `pfq probe` shows which features it has and since which version."""

    code = "PFQ301"


class NoPrivilegeError(MachineError):
    """eBPF programs need CAP_BPF, CAP_NET_ADMIN and CAP_PERFMON, usually root.

    Promiscuous mode needs CAP_NET_RAW as well.

    Without them the same program runs over capture files.
    """

    code = "PFQ302"


class DeviceMissingError(MachineError):
    """There is no network device of that name in this network namespace."""

    code = "PFQ303"


class LimitError(MachineError):
    """A limit of this process or machine is too low (memory, locked memory, descriptors)."""

    code = "PFQ304"


class ExtensionError(MachineError):
    """An installed package that adds primitives to the language cannot be used.

    It cannot be imported, does not hold rows of primitives where its entry point says, or has a name that is
    taken. None of its primitives is available; those that are built in, and those of other packages, are.
    `pfq functions` tells which packages are concerned.
    """

    code = "PFQ305"


class DaemonMissingError(MachineError):
    """Nobody answers at the socket of pfqd, or this user may not connect to it.

    `systemctl start pfqd` starts the daemon, `pfqd -c pfqd.toml` does by hand. The socket is /run/pfq/pfqd.sock unless
    the variable PFQ_SOCKET, an option or the configuration says otherwise; who may connect is in the configuration too.
    """

    code = "PFQ306"


class StateError(MachineError):
    """What an engine has left, or wants to leave, for the next one cannot be used.

    pfqd pins its programs and memory in a BPF file system, and a file says what they are. When that was written by
    another version, or names were removed, or something was mounted over them, nothing is touched, for otherwise
    packets might be seen twice. `pfqd --stop` takes everything down.
    """

    code = "PFQ307"


class RejectedError(PfqError):
    """The kernel refused a request that looked right."""

    code = "PFQ400"
    exit_status = REFUSED_STATUS


class VerifierError(RejectedError):
    """The kernel's verifier refused the compiled program. `log` has its whole log."""

    code = "PFQ401"

    def __init__(self, message: str, span: Span | None = None, hint: str | None = None, log: str = "") -> None:
        super().__init__(message, span, hint)
        self.log = log


class AttachConflictError(RejectedError):
    """Another program is attached to the device. PFQ never removes a program that is not its own."""

    code = "PFQ402"


class KernelRefusedError(RejectedError):
    """A system call failed; the message has the call, the error and what the kernel added to it."""

    code = "PFQ403"


class ResourceError(PfqError):
    """Something that worked has ceased to."""

    code = "PFQ500"
    exit_status = REFUSED_STATUS


class ViewExpiredError(ResourceError):
    """A view of a batch was used after the batch was released.

    The memory under it may hold other packets by now. Copy what you keep: `batch.len.copy()`.
    """

    code = "PFQ501"


class RingClosedError(ResourceError):
    """The capture was closed, so its end-points have no more packets."""

    code = "PFQ502"


class DeviceGoneError(ResourceError):
    """The device disappeared while it was captured from."""

    code = "PFQ503"


class OutputError(ResourceError):
    """Writing the output failed, for example because the disk is full. Packets already read are counted."""

    code = "PFQ504"


class DaemonGoneError(ResourceError):
    """The daemon does not answer any more, or was started anew and knows nothing of this session.

    While a daemon is merely away, packets still come to the rings and calls wait some seconds for its successor.
    """

    code = "PFQ505"


class InternalError(PfqError):
    """A fault of PFQ itself. Please report it with the program and the output of `pfq probe`."""

    code = "PFQ900"
    exit_status = BUG_STATUS


def error_classes() -> Iterator[type[PfqError]]:
    """All classes of the tree, parents first."""
    queue: list[type[PfqError]] = [PfqError]
    while queue:
        cls = queue.pop(0)
        yield cls
        queue += cls.__subclasses__()
