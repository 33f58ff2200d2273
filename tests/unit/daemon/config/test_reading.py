"""The configuration: what it means, and every fault that it can have, with its line and what to do."""

from __future__ import annotations

import re
from dataclasses import fields
from pathlib import Path
from textwrap import dedent

import pytest
from support.documents import ROOT, Snippet, snippets

from pfq.daemon.access import RIGHTS, Rule
from pfq.daemon.config.groups import ManagedGroup
from pfq.daemon.config.places import Input, Output, Place
from pfq.daemon.config.reading import Config, DaemonSettings, read, read_daemon
from pfq.daemon.limits import Limits
from pfq.errors import ConfigErrors, FileAccessError, PfqError
from pfq.lang.berkeley import BerkeleyFilter
from pfq.lang.compile import compile_text

WHOLE = """
[daemon]
socket = "/run/pfq2/pfqd.sock"
state = "var"
pins = "/sys/fs/bpf/pfq2"
user = "root"
group = "root"
metrics = "127.0.0.1:9812"
log = "json"
log_level = "debug"

[limits]
user_endpoints = 3

[[rights]]
user = 1000
groups = [1, 2]
devices = ["eth0"]
allow = ["join"]

[[rights]]
group = "root"
groups = "*"
devices = "*"
allow = ["see", "configure"]

[[rights]]
user = "*"
groups = [3]
allow = ["see"]

[[group]]
number = 3
policy = "restricted"
program = "tcp >-> steer_flow"
filter = "tcp port 80"
vlans = [0, 10]
input = ["eth0", "eth1.2", { device = "eth3.1", queue = 4, binding = "inline", hook = "xdp", promiscuous = true }]
output = ["eth2", { device = "eth3", queue = 1, class = 2, weight = 2 }, { device = "eth4", class = ["default", 5] }]

[[group]]
number = 7
program_file = "edge.pfq"
"""


def config_of(folder: Path, text: str) -> Config:
    path = folder / "pfqd.toml"
    path.write_text(text)
    return read(path)


def faults_of(folder: Path, text: str) -> list[PfqError]:
    with pytest.raises(ConfigErrors) as caught:
        config_of(folder, text)
    assert caught.value.faults
    return list(caught.value.faults)


def test_a_whole_configuration(tmp_path: Path) -> None:
    (tmp_path / "edge.pfq").write_text("main = udp >-> steer_flow\n")
    found = config_of(tmp_path, WHOLE)
    assert found.daemon == DaemonSettings(
        Path("/run/pfq2/pfqd.sock"),
        tmp_path / "var",
        Path("/sys/fs/bpf/pfq2"),
        "root",
        "root",
        "127.0.0.1:9812",
        "json",
        "debug",
    )
    assert found.limits == Limits(user_endpoints=3)
    assert found.rights == (
        Rule(1000, None, False, frozenset([1, 2]), frozenset(["eth0"]), frozenset(["join"])),
        Rule(None, 0, False, None, None, frozenset(["see", "configure"])),
        Rule(None, None, True, frozenset([3]), frozenset(), frozenset(["see"])),
    )
    assert found.groups == (
        ManagedGroup(
            3,
            compile_text("tcp >-> steer_flow"),
            "restricted",
            BerkeleyFilter.of("tcp port 80"),
            frozenset([0, 10]),
            (
                Input(Place("eth0", short=True)),
                Input(Place("eth1.2", short=True)),
                Input(Place("eth3.1", 4), "in", "inline", "xdp", True),
            ),
            (
                Output(Place("eth2", short=True)),
                Output(Place("eth3", 1), 1 << 2, 2),
                Output(Place("eth4"), 1 << 0 | 1 << 5),
            ),
        ),
        ManagedGroup(7, compile_text("udp >-> steer_flow")),
    )
    assert found.files() == [tmp_path / "pfqd.toml", tmp_path / "edge.pfq"]


def test_an_empty_one_is_the_built_in_one(tmp_path: Path) -> None:
    found = config_of(tmp_path, "")
    assert found == Config(tmp_path / "pfqd.toml")
    assert str(found.daemon.socket) == "/run/pfq/pfqd.sock"
    assert (found.daemon.user, found.daemon.group, found.rights, found.groups) == (None, None, (), ())


@pytest.mark.parametrize(
    ("place", "devices", "found"),
    [
        (Place("eth3.1", short=True), {"eth3", "eth3.1"}, ("eth3.1", None)),
        (Place("eth3.1", short=True), {"eth3"}, ("eth3", 1)),
        (Place("eth3.1", short=True), {"eth4"}, None),
        (Place("eth3.1"), {"eth3"}, None),
        (Place("eth3", 2), {"eth3"}, ("eth3", 2)),
        (Place("br.lan", short=True), {"br"}, None),
    ],
)
def test_a_queue_or_a_device_with_a_dot(place: Place, devices: set[str], found: tuple[str, int | None] | None) -> None:
    assert place.found(devices) == found


GROUP = "[[group]]\nnumber = 1\n"

FAULTS = [
    ("[deamon]", 1, "there is no `deamon` in the configuration", "did you mean `daemon`?"),
    ("daemon = 3", 1, "`daemon` is a table", "begin it with a line [daemon]"),
    ("group = 3", 1, "there can be several `group`", "[[group]]"),
    ("group = [3]", 1, "there can be several `group`", "[[group]]"),
    ("[daemon]\nsockt = 'x'", 2, "there is no `sockt` in [daemon]", "did you mean `socket`?"),
    ("[daemon]\nsocket = 3", 2, "`socket` is a text, not 3", ""),
    ("[daemon]\nsocket = ''", 2, "`socket` is the path of a file", ""),
    (f"[daemon]\nsocket = '/{'x' * 120}'", 2, "at most 100 bytes", "shorter"),
    ("[daemon]\nstate = ['x']", 2, "`state` is a text, not a list", ""),
    ("[daemon]\nuser = 'nobody-is-this'", 2, "this machine has no user 'nobody-is-this'", "useradd"),
    ("[daemon]\ngroup = 'rooot'", 2, "this machine has no group 'rooot'", "did you mean `root`?"),
    ("[daemon]\nmetrics = 'localhost'", 2, "no address for metrics", "127.0.0.1:9812"),
    ("[daemon]\nmetrics = '1.2.3.4:99999'", 2, "no address for metrics", "unix:"),
    ("[daemon]\nmetrics = true", 2, "`metrics` is a text, not true", ""),
    ("[daemon]\nlog = 'jsn'", 2, "there is no log `jsn`", "did you mean `json`?"),
    ("[daemon]\nlog_level = 'loud'", 2, "there is no log_level `loud`", "there are: debug, info"),
    ("[limits]\nconnection = 1", 2, "there is no `connection` in [limits]", "did you mean `connections`"),
    ("[limits]\nconnections = 0", 2, "`connections` is 1 to", ""),
    ("[limits]\nconnections = 'many'", 2, "`connections` is a number, not 'many'", ""),
    ("[[rights]]\nallow = ['see']", 1, "rights are for one `user` or one `group`", "user ="),
    ("[[rights]]\nuser = 1\ngroup = 1\nallow = ['see']", 1, "rights are for one `user` or one `group`", "user ="),
    ("[[rights]]\nuser = -1\nallow = ['see']", 2, "a user is a name or a number, not -1", ""),
    ("[[rights]]\nuser = 'nobody-is-this'\nallow = ['see']", 2, "this machine has no user", "useradd"),
    ("[[rights]]\nuser = 1", 1, "rights without `allow` allow nothing", "allow ="),
    ("[[rights]]\nuser = 1\nallow = ['seee']", 3, "there is no right 'seee'", "did you mean `see`?"),
    ("[[rights]]\nuser = 1\nallow = ['see']\ngroups = [64]", 4, "numbers from 0 to 63", ""),
    ("[[rights]]\nuser = 1\nallow = ['see']\ndevices = 'eth0'", 4, "`devices` is a list of names", ""),
    ("[[group]]\nprogram = 'unit'", 1, "a group needs `number`", ""),
    ("[[group]]\nnumber = 64", 2, "`number` is 0 to 63, not 64", ""),
    ("[[group]]\nnumber = true", 2, "`number` is a number, not true", ""),
    (f"{GROUP}\n{GROUP}", 5, "there are two groups 1", "another number"),
    (f"{GROUP}policy = 'private'", 3, "there is no policy `private`", "there are: shared, restricted"),
    (f"{GROUP}program = 'unit'\nprogram_file = 'x'", 4, "`program` or `program_file`, not both", "take one"),
    (f"{GROUP}program = 'tpc'", 3, "unknown name `tpc`", "did you mean `tcp`"),
    (f"{GROUP}program = '''\n\nmain = tcp >->\n  steer_flwo\n'''", 6, "unknown name `steer_flwo`", "`steer_flow`"),
    (f"{GROUP}program = '''main = tpc'''", 3, "unknown name `tpc`", "did you mean"),
    (f"{GROUP}program_file = 'none.pfq'", 3, "cannot read", ""),
    (f"{GROUP}filter = 'tcp prt 80'", 3, "libpcap refuses the filter", "written as for tcpdump"),
    (f"{GROUP}filter = 3", 3, "`filter` is a text, not 3", ""),
    (f"{GROUP}vlans = [4095]", 3, "there is no VLAN id 4095", "-1 for all"),
    (f"{GROUP}vlans = 3", 3, "`vlans` is a list, not 3", ""),
    (f"{GROUP}input = 'eth0'", 3, "`input` is a list, not 'eth0'", ""),
    (f"{GROUP}input = [\n'eth0',\n3]", 5, "an input is a device, not 3", "write the name"),
    (f"{GROUP}input = ['a/b']", 3, "cannot be the name of a network device", "1 to 15 bytes"),
    (f"{GROUP}input = ['{'x' * 16}']", 3, "cannot be the name of a network device", "1 to 15 bytes"),
    (f"{GROUP}input = [{{queue = 1}}]", 3, "an input needs `device`", ""),
    (f"{GROUP}input = [{{device = 'x', queue = 65536}}]", 3, "`queue` is 0 to 65535", ""),
    (f"{GROUP}input = [{{device = 'x', hok = 'xdp'}}]", 3, "there is no `hok` in an input", "did you mean `hook`?"),
    (f"{GROUP}input = [{{device = 'x', hook = 'tc'}}]", 3, "there is no hook `tc`", "did you mean `tcx`?"),
    (f"{GROUP}input = [{{device = 'x', binding = 1}}]", 3, "`binding` is a text, not 1", ""),
    (f"{GROUP}input = [{{device = 'x', direction = 'up'}}]", 3, "there is no direction `up`", "in, out, inout"),
    (f"{GROUP}input = [{{device = 'x', queue = 1, direction = 'out'}}]", 3, "no receive queue", "leave out `queue`"),
    (f"{GROUP}input = [{{device = 'x', promiscuous = 1}}]", 3, "`promiscuous` is true or false", ""),
    (f"{GROUP}input = ['x',\n'x']", 4, "`x` is an input of the group twice", "take one of them out"),
    (f"{GROUP}input = ['x', {{device = 'x'}}]", 3, "`x` is an input of the group twice", "take one of them out"),
    (f"{GROUP}output = [{{device = 'x', weight = 9}}]", 3, "`weight` is 1 to 8, not 9", ""),
    (f"{GROUP}output = [{{device = 'x', class = 'user_plan'}}]", 3, "there is no class 'user_plan'", "`user_plane`"),
    (f"{GROUP}output = [{{device = 'x', class = 64}}]", 3, "there is no class 64", "0 to 63, or default"),
    (f"{GROUP}output = [{{device = 'x', hook = 'xdp'}}]", 3, "there is no `hook` in an output", "there are"),
    ("a = \n", 1, "this is not TOML: Invalid value", "https://toml.io"),
    ("a = 1\na = 2", 2, "this is not TOML: Cannot overwrite a value", ""),
    ("a = '''", 1, "this is not TOML", ""),
]


@pytest.mark.parametrize(("text", "line", "message", "hint"), FAULTS)
def test_faults(tmp_path: Path, text: str, line: int, message: str, hint: str) -> None:
    (fault,) = faults_of(tmp_path, text)
    assert message in fault.message
    assert fault.span is not None
    assert fault.span.source.name == str(tmp_path / "pfqd.toml")
    assert fault.span.line == line
    assert hint in (fault.hint or "")


def test_all_faults_are_told_at_once_in_the_order_of_the_text(tmp_path: Path) -> None:
    broken = tmp_path / "broken.pfq"
    broken.write_text("main = tpc\n")
    text = dedent("""
        [[group]]
        number = 1
        program = "tpc"
        colour = "red"
        [[group]]
        number = 1
        program_file = "broken.pfq"
        [daemon]
        log = "xml"
    """)
    with pytest.raises(ConfigErrors) as caught:
        config_of(tmp_path, text)
    places = [(fault.span.source.name, fault.span.line) for fault in caught.value.faults if fault.span]
    own = str(tmp_path / "pfqd.toml")
    assert places == [(own, 4), (own, 5), (own, 7), (own, 10), (str(broken), 1)]
    assert caught.value.message.startswith(f"{own} has 5 faults: line 4: unknown name `tpc`; line 5: ")
    assert str(caught.value).count("hint: ") == 5


def test_the_settings_of_the_process_can_be_read_when_groups_have_faults(tmp_path: Path) -> None:
    path = tmp_path / "pfqd.toml"
    path.write_text("[daemon]\nsocket = '/x'\n[[group]]\nnumber = 99\n")
    assert read_daemon(path).socket == Path("/x")
    path.write_text("[daemon]\nsocket = 1\n")
    with pytest.raises(ConfigErrors, match="`socket` is a text"):
        read_daemon(path)


def test_programs_in_the_configuration_find_modules_next_to_it(tmp_path: Path) -> None:
    (tmp_path / "Mine.pfq").write_text("mine = tcp >-> steer_flow\n")
    found = config_of(tmp_path, f"{GROUP}program = '''\nimport Mine\nmain = mine\n'''")
    assert found.groups[0].program == compile_text("tcp >-> steer_flow")
    assert found.groups[0].program.source == "import Mine\nmain = mine\n"


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(FileAccessError, match=r"cannot read .*pfqd.toml: No such file"):
        read(tmp_path / "pfqd.toml")
    (tmp_path / "pfqd.toml").write_bytes(b"a = '\xff'")
    with pytest.raises(PfqError, match=r"is not UTF-8 \(byte 5\)"):
        read(tmp_path / "pfqd.toml")


def test_lines_may_end_as_on_windows(tmp_path: Path) -> None:
    path = tmp_path / "pfqd.toml"
    path.write_bytes(b"[daemon]\r\nlog = 'json'\r\nlog_level = 'x'\r\n")
    with pytest.raises(ConfigErrors) as caught:
        read(path)
    assert [fault.span.line for fault in caught.value.faults if fault.span] == [3]


EXAMPLE = ROOT / "examples/pfqd.toml"
DOCUMENTED = snippets("toml")


def test_the_example_has_no_faults() -> None:
    found = read(EXAMPLE)
    assert found.daemon == DaemonSettings(), "it shows the defaults"
    assert [group.number for group in found.groups] == [1, 2]
    assert len(found.rights) == 2


def test_what_the_example_leaves_out_is_right_too(tmp_path: Path) -> None:
    text = re.sub(r"(?m)^# (user|group|metrics) = ", r"\1 = ", EXAMPLE.read_text())
    assert text.count("# ") < EXAMPLE.read_text().count("# ")
    assert set(faults_but_accounts(tmp_path, text)) == set()


@pytest.mark.parametrize("snippet", DOCUMENTED, ids=str)
def test_what_the_manual_shows_has_no_faults(snippet: Snippet, tmp_path: Path) -> None:
    assert faults_but_accounts(tmp_path, snippet.code) == []


def faults_but_accounts(folder: Path, text: str) -> list[str]:
    """What is wrong, but for users and groups that this machine does not have."""
    try:
        config_of(folder, text)
    except ConfigErrors as error:
        return [fault.message for fault in error.faults if "this machine has no" not in fault.message]
    return []


def test_the_manual_lists_every_key() -> None:
    manual = (ROOT / "docs/daemon.md").read_text()
    listed = {name for name in re.findall(r"(?m)^\| `(\w+)` \|", manual) if not name.startswith("pfq_")}
    keys = {each.name for kind in (DaemonSettings, Limits) for each in fields(kind)}
    of_groups = {"number", "policy", "program", "program_file", "filter", "vlans", "input", "output"}
    of_places = {"device", "queue", "direction", "binding", "hook", "promiscuous", "class", "weight"}
    assert listed == keys | of_groups | of_places | set(RIGHTS)


@pytest.mark.parametrize("name", [each.name for each in fields(Limits)])
def test_the_manual_gives_the_limits_that_there_are(name: str) -> None:
    manual = (ROOT / "docs/daemon.md").read_text()
    assert f"| `{name}` | {getattr(Limits(), name)} |" in manual
