"""What comes from outside, at its worst: damaged and hostile files, odd arrays, tables that are none.

Every random case has its number in the failure message, and is the same in every run.
"""

import hashlib
import io
import itertools
import json
import pickle
import random
import shutil
import struct
import tracemalloc
import zipfile
from functools import cache
from pathlib import Path

import naive
import numpy as np
import pytest
from conftest import JIT_DISABLED
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from stored import GOLDEN, chunk_files, content, make_data, train

import ensemble
from ensemble import store
from ensemble.engines import Checkpoint, checkpoint, run_chunk
from ensemble.store import chunks
from ensemble.system import archive
from ensemble.system.archive import DamagedFileError
from ensemble.training import planning
from ensemble.training import running as training

slow = pytest.mark.slow
FEW = settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
ANY = {"*": ("ifbuU", -1)}


# ---- R4: bits that flip, files that end early ----


class Victim:
    """A run of four models in four chunks; one chunk is missing, but its model's state is there."""

    def __init__(self, folder, patch):
        self.folder, self.trained = folder, []
        self.specs, self.data = ensemble.grid(width=[3, 4], optimizer=["gd", "adam"], lr=0.02), make_data()
        patch.setattr(planning, "CHUNK_SECONDS", 1e-12)
        patch.setattr("ensemble.engines.compiled.CALL_SECONDS", 0.0)
        self.expected = content(train(self.specs, self.data))
        with patch.context() as all_states:
            all_states.setattr(checkpoint, "SECONDS", -1.0)
            all_states.setattr(Checkpoint, "remove", lambda self: None)
            train(self.specs, self.data, store=folder, threads=1)
        states = {path: path.stat().st_mtime_ns for path in folder.glob("states/*.npz")}
        newest, last = (max(found, key=lambda p: p.stat().st_mtime_ns) for found in (states, chunk_files(folder)))
        for path in [last, *(path for path in states if path != newest)]:
            path.unlink()
        self.state = newest

        def counted(specs, *rest):
            self.trained += [specs[i]._asdict() for i in range(len(specs))]
            return run_chunk(specs, *rest)

        patch.setattr(training, "run_chunk", counted)
        self.resume(shutil.copytree(folder, folder.with_name("once")))  # the state belongs to the missing chunk
        self.files = [p for p in sorted(folder.rglob("*")) if p.is_file() and p.name != "lock"]
        self.whole = {path: path.read_bytes() for path in self.files}

    def resume(self, folder):
        del self.trained[:]
        found = content(train(self.specs, self.data, store=folder, threads=1))
        assert found == self.expected
        return len(self.trained)

    def judge(self, path, damaged, copy, capsys):
        """Damage one file of the run; return "harmless" or "detected", or fail."""
        for name, whole in self.whole.items():
            target = copy / name.relative_to(self.folder)
            target.write_bytes(damaged if name == path else whole)
        for left in chunk_files(copy):
            if self.folder / left.relative_to(copy) not in self.whole:
                left.unlink()
        name, kind = path.name, path.parent.name
        capsys.readouterr()
        try:
            problems = store.verify(copy).problems
        except ValueError as error:
            problems = (str(error),)
        assert len(problems) <= 1
        assert all(name in problem for problem in problems), problems
        if kind not in ("chunks", "states") and problems:
            with pytest.raises(ValueError) as caught:
                store.load_result(copy)
            assert name in str(caught.value)
            if name == "manifest.json":  # nothing is guessed
                with pytest.raises(ValueError, match="manifest.json"):
                    self.resume(copy)
                return "detected"
        trained = self.resume(copy)
        note = capsys.readouterr().err
        assert trained == (2 if kind == "chunks" and problems else 1)
        assert (name in note) == bool(problems), note
        assert content(store.load_result(copy)) == self.expected
        assert store.verify(copy).problems == ()
        return "detected" if problems else "harmless"


def flipped(draw, whole):
    """Return content with one to three bits flipped."""
    damaged = bytearray(whole)
    for _ in range(draw.choice([1, 1, 1, 2, 3])):
        damaged[draw.randrange(len(damaged))] ^= 1 << draw.randrange(8)
    return bytes(damaged)


def cut(draw, whole):
    """Return content that ends early, or whose end is zeros, as after a power failure."""
    length = draw.choice([0, draw.randrange(len(whole)), draw.randrange(len(whole)), len(whole) - 1])
    return whole[:length] + draw.choice([b"", bytes(len(whole) - length)])


@pytest.mark.jit_heavy
@pytest.mark.parametrize("damage", [flipped, cut])
@pytest.mark.parametrize("cases", [16, pytest.param(1000, marks=slow)])
def test_a_damaged_file_is_found_or_harmless(damage, cases, tmp_path, monkeypatch, capsys):
    victim = Victim(tmp_path / "run", monkeypatch)
    copy = shutil.copytree(victim.folder, tmp_path / "copy")
    counts = {}
    for seed in itertools.count():
        if sum(counts.values()) == cases:
            break
        draw = random.Random(seed)
        path = victim.files[seed % len(victim.files)]
        damaged = damage(draw, victim.whole[path])
        if damaged == victim.whole[path]:  # flipped to and fro, or zeros for zeros
            continue
        try:
            outcome = victim.judge(path, damaged, copy, capsys)
        except BaseException as error:
            raise AssertionError(f"{damage.__name__}, seed {seed}, {path.name}: {error!r}") from error
        kind = path.name if path.suffix == ".json" else "run" if path.name.startswith("run") else path.parent.name
        counts[kind, outcome] = counts.get((kind, outcome), 0) + 1
    print(damage.__name__, counts)
    kinds = {kind for kind, _ in counts}
    assert len(kinds) == 4
    assert all((kind, "detected") in counts for kind in kinds)
    harmless = sum(count for (_, outcome), count in counts.items() if outcome == "harmless")
    assert harmless < sum(counts.values()) / 2


@pytest.fixture(scope="module")
def trained_once(tmp_path_factory):
    """Runs of six models and of two, and what they say."""
    found = {}
    for seeds in (3, 1):
        specs, folder = ensemble.grid(width=[3, 4], seed=range(seeds)), tmp_path_factory.mktemp("trained")
        found[seeds] = specs, folder, content(train(specs, store=folder))
    return found


@pytest.fixture
def of_six(trained_once, tmp_path):
    """Specs of six models, a copy of their run, to be damaged, and what it says."""
    specs, folder, expected = trained_once[3]
    return specs, shutil.copytree(folder, tmp_path / "run"), expected


@pytest.fixture
def of_two(trained_once, tmp_path):
    specs, folder, expected = trained_once[1]
    return specs, shutil.copytree(folder, tmp_path / "run"), expected


@pytest.mark.jit_heavy
@pytest.mark.parametrize("kind", ["chunk", "run", "manifest"])
def test_a_missing_file(kind, of_six):
    specs, tmp_path, expected = of_six
    path = {
        "chunk": chunk_files(tmp_path)[0],
        "run": next(tmp_path.glob("run-*")),
        "manifest": tmp_path / "manifest.json",
    }
    path[kind].unlink()
    with pytest.raises(ValueError, match="not finished" if kind == "chunk" else path[kind].name):
        store.load_result(tmp_path)
    again = train(specs, store=tmp_path)
    assert content(again) == content(store.load_result(tmp_path)) == expected
    assert (again.trained == 0) == (kind == "run")  # the models say themselves what they are


# ---- R5: files made to harm ----


class Payload:
    """Makes a file where it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


def npy(header, data=b"", length=None):
    """Return a `.npy` member with any header."""
    text = (header if isinstance(header, str) else repr(header)).encode("latin1").ljust(54) + b"\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text) if length is None else length) + text + data


def head(descr="<f8", shape=(2,), order=False):
    return {"descr": descr, "fortran_order": order, "shape": shape}


def packed(members, compress=zipfile.ZIP_STORED):
    """Return a zip of (name, content) pairs."""
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", compress) as file:
        for name, member in members:
            if name in file.namelist():
                with pytest.warns(UserWarning, match="Duplicate name"):
                    file.writestr(name, member)
            else:
                file.writestr(name, member)
    return content.getvalue()


def numpys(**arrays):
    content = io.BytesIO()
    np.savez(content, allow_pickle=True, **arrays)
    return content.getvalue()


def lying(content):
    """Return a zip whose member says that it is a terabyte."""
    at = content.index(b"PK\x01\x02")
    return content[: at + 20] + struct.pack("<II", 0xFFFFFFF0, 0xFFFFFFF0) + content[at + 28 :]


@cache
def bomb():
    return packed([("a.npy", npy(head(shape=(10**7,)), bytes(8 * 10**7)))], zipfile.ZIP_DEFLATED)


TWO = b"\0" * 16
HOSTILE = {
    "an object array": lambda p: numpys(a=np.array([Payload(p)], dtype=object)),
    "a pickle": lambda p: pickle.dumps(Payload(p)),
    "a pickle as a member": lambda p: packed([("a.npy", pickle.dumps(Payload(p)))]),
    "a pickle behind an object header": lambda p: packed([("a.npy", npy(head("|O", (1,)), pickle.dumps(Payload(p))))]),
    "code as header": lambda p: packed([("a.npy", npy(f"open({str(p)!r}, 'w')"))]),
    "no expression as header": lambda p: packed([("a.npy", npy("}{ for"))]),
    "a header of brackets": lambda p: packed([("a.npy", npy("[" * 4000))]),
    "a header of deep signs": lambda p: packed([("a.npy", npy("-" * 4000 + "1"))]),
    "a header with zero bytes": lambda p: packed([("a.npy", npy("\0" * 50))]),
    "a header of another kind": lambda p: packed([("a.npy", npy([1, 2]))]),
    "an unhashable header": lambda p: packed([("a.npy", npy("{[]: 1}"))]),
    "a header longer than the member": lambda p: packed([("a.npy", npy(head(), TWO, length=4000))]),
    "a header longer than allowed": lambda p: packed([("a.npy", npy(head(), TWO, length=65535))]),
    "ten trillion elements": lambda p: packed([("a.npy", npy(head(shape=(10**13,))))]),
    "ten trillion elements of nothing": lambda p: packed([("a.npy", npy(head("<U0", (10**13,))))]),
    "a hundred dimensions": lambda p: packed([("a.npy", npy(head(shape=(1,) * 100), b"\0" * 8))]),
    "a huge empty shape": lambda p: packed([("a.npy", npy(head(shape=(0, 10**30))))]),
    "a negative shape": lambda p: packed([("a.npy", npy(head(shape=(-2, -1)), TWO))]),
    "a shape of booleans": lambda p: packed([("a.npy", npy(head(shape=(True, 2)), TWO))]),
    "a shape that is a number": lambda p: packed([("a.npy", npy(head(shape=2), TWO))]),
    "an unknown dtype": lambda p: packed([("a.npy", npy(head("<q9"), TWO))]),
    "a structured dtype": lambda p: packed([("a.npy", npy(head([("x", "<f8")]), TWO))]),
    "a dtype in words": lambda p: packed([("a.npy", npy(head("f8,i4"), TWO))]),
    "a dtype of dates": lambda p: packed([("a.npy", npy(head("<M8[s]"), TWO))]),
    "complex numbers": lambda p: numpys(a=np.zeros(2, complex)),
    "Fortran order": lambda p: numpys(a=np.asfortranarray(np.zeros((2, 2)))),
    "another version of the header": lambda p: packed([("a.npy", b"\x93NUMPY\x03\x00" + TWO)]),
    "too much data": lambda p: packed([("a.npy", npy(head(), TWO + b"\0"))]),
    "no hash": lambda p: numpys(a=np.zeros(2)),
    "a wrong hash": lambda p: numpys(a=np.zeros(2), sha256=np.zeros(32, np.uint8)),
    "a hash of text": lambda p: numpys(a=np.zeros(2), sha256=np.array("0" * 64)),
    "a zip bomb": lambda p: bomb(),
    "a bomb by bzip2": lambda p: packed([("a.npy", bytes(10**7))], zipfile.ZIP_BZIP2),
    "a member of a terabyte": lambda p: lying(packed([("a.npy", npy(head(), TWO))])),
    "more than 4,096 members": lambda p: packed([(f"a{i}.npy", npy(head(), TWO)) for i in range(4097)]),
    "a member outside": lambda p: packed([("../a.npy", npy(head(), TWO))]),
    "an absolute member": lambda p: packed([(str(p), npy(head(), TWO))]),
    "a member of another kind": lambda p: packed([("a.txt", b"hello")]),
    "a folder": lambda p: packed([("a.npy/", b"")]),
    "a member twice": lambda p: packed([("a.npy", npy(head(), TWO))] * 2),
    "an empty zip": lambda p: packed([]),
    "an encrypted member": lambda p: packed([("a.npy", npy(head(), TWO))]).replace(
        b"PK\x01\x02\x14\x03\x14\x00\x00\x00", b"PK\x01\x02\x14\x03\x14\x00\x01\x00"
    ),
    "nothing": lambda p: b"",
    "text": lambda p: b"width,lr\n4,0.1\n",
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_file_is_refused(name, tmp_path):
    payload, path = tmp_path / "executed", tmp_path / "hostile.npz"
    path.write_bytes(HOSTILE[name](payload))
    kinds = {"a": ("f", -1), "[": ("f", -1), "a*": ("ifbuU", -1), "*": ("ifbuU", -1)}
    size = path.stat().st_size
    for allowed in (kinds, chunks.KINDS):
        tracemalloc.start()
        try:
            with pytest.raises(DamagedFileError, match="hostile.npz is damaged or no file of this program"):
                archive.read(path, allowed)
            assert tracemalloc.get_traced_memory()[1] < 20 * size + 6_000_000
        finally:
            tracemalloc.stop()
    assert not payload.exists()


@pytest.mark.jit_heavy
@pytest.mark.parametrize("place", ["run", "chunks", "states"])
@pytest.mark.parametrize("name", ["an object array", "a zip bomb", "ten trillion elements", "a dtype in words"])
def test_a_hostile_file_in_a_run(name, place, of_six, tmp_path):
    (specs, folder, expected), payload = of_six, tmp_path / "executed"
    path = next(folder.glob("run-*")) if place == "run" else folder / place / f"{'0' * 24}.npz"
    path.write_bytes(HOSTILE[name](payload))
    if place == "run":
        for ask in (store.verify, store.load_result):
            with pytest.raises(DamagedFileError, match=path.name):
                ask(folder)
    else:
        assert str(path) in store.verify(folder).problems[0]
        assert content(store.load_result(folder)) == expected
    assert content(train(specs, store=folder)) == content(store.load_result(folder)) == expected
    assert not payload.exists()


def rewritten(folder, **changes):
    """Change the manifest, with a hash that is right; None leaves an entry out."""
    path = folder / "manifest.json"
    manifest = json.loads(path.read_text()) | changes
    kept = {name: value for name, value in manifest.items() if value is not None and name != "sha256"}
    digest = hashlib.sha256(json.dumps(kept, sort_keys=True).encode()).hexdigest()
    path.write_text(json.dumps({"sha256": digest, **kept}))


ASK = {
    "verify": store.verify,
    "load_result": store.load_result,
    "train": lambda folder: train(ensemble.grid(width=[3, 4], seed=range(3)), store=folder),
}


def refused(ask, folder):
    """Require that a run folder is refused by name, and that no memory is taken."""
    tracemalloc.start()
    try:
        with pytest.raises(ValueError) as caught:
            ASK[ask](folder)
        assert str(folder) in str(caught.value)
        assert tracemalloc.get_traced_memory()[1] < 50_000_000
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(
    "changes",
    [
        {"schema": 3}, {"schema": "2"}, {"schema": None}, {"schema": 1}, {"schema": []}, {"runs": None}, {"runs": []},
        {"runs": 7}, {"runs": "run"}, {"runs": [7]}, {"runs": ["../outside.npz"]}, {"runs": ["/outside.npz"]},
        {"runs": ["lock"]}, {"runs": [""]}, {"runs": ["a\0b"]}, {"runs": ["chunks/a.npz"]},
    ],
    ids=repr,
)  # fmt: skip
def test_a_hostile_manifest(changes, of_six, tmp_path):
    folder = of_six[1]
    shutil.copy(next(folder.glob("run-*")), tmp_path / "outside.npz")
    rewritten(folder, **changes)
    for ask in ASK:
        refused(ask, folder)


HOSTILE_FIRST = [
    {"schema": "1"}, {"specs": "../outside.npz"}, {"specs": "/outside.npz"}, {"specs": "lock"}, {"specs": 7},
    {"specs": None}, {"specs": ""}, {"specs": "a\0b"}, {"models": 7}, {"models": None}, {"run": None}, {"run": {}},
    {"run": []}, {"choices": {}}, {"choices": {"init": [1, 2]}}, {"choices": None}, {"choices": []},
    {"choices": {"init": None}}, {"versions": None}, {"machine": [1]},
]  # fmt: skip
HOSTILE_RUNS = {
    "epochs": ["many", -1, None], "record": [[10**13], "x", [[0]], None], "snapshots": [["../../x"], 3, [[1]]],
    "engine": [3, None], "n_inputs": [10**13, -1, "x"], "data": [{}, [], {"data": {}}, {"data": {"scale": 3}}],
}  # fmt: skip


@pytest.mark.parametrize(
    "changes", HOSTILE_FIRST + [{"run": {n: v}} for n, values in HOSTILE_RUNS.items() for v in values], ids=repr
)
def test_a_hostile_manifest_of_version_1(changes, tmp_path):
    folder = shutil.copytree(GOLDEN, tmp_path / "run")
    shutil.copy(next(folder.glob("specs-*")), tmp_path / "outside.npz")
    if isinstance(changes.get("run"), dict) and changes["run"]:
        changes = {"run": json.loads((folder / "manifest.json").read_text())["run"] | changes["run"]}
    rewritten(folder, **changes)
    for ask in ASK:
        refused(ask, folder)


SOURCE = {"name": "data", "sha256": "0", "n_inputs": 1, "samples": 3, "parts": []}
HOSTILE_HEADERS = [
    {"schema": 3}, {"epochs": "many"}, {"epochs": -1}, {"epochs": 10**13}, {"epochs": 5}, {"loss": None}, {"loss": ""},
    {"keep_networks": 1}, {"data": []}, {"data": 3}, {"data": [{}]}, {"data": [SOURCE | {"n_inputs": 10**13}]},
    {"data": [SOURCE | {"name": "other"}]}, {"data": [SOURCE | {"parts": 3}]}, {"data": [SOURCE, SOURCE | {"name": 5}]},
]  # fmt: skip
HOSTILE_ARRAYS = {
    "header": [np.frombuffer(b"[" * 10**5, np.uint8), np.frombuffer(b"1", np.uint8), np.zeros(2**21, np.uint8), None],
    "record": [np.array([3, 12]), np.array([0, 5, 5, 12]), np.array([0, 11]), np.array([], int), None],
    "snapshots": [np.array([13]), np.array([-1]), np.array([3, 2]), None],
    "engine": [np.array(["auto"]), np.array(["quantum"]), np.array(["spline"] * 5), None],
    "initial": [np.array(["x"] * 5)],
    "spec_width": [np.array([0]), np.array([10**18] * 2), np.array([2.5]), None],
    "scale_0": [np.zeros(4), np.array([0.0, 1.0, np.nan, 1.0]), np.zeros(3)],
}  # fmt: skip


@pytest.mark.jit_heavy
@pytest.mark.parametrize("place", ["run", "chunk"])
@pytest.mark.parametrize(
    ("name", "value"),
    [("header", change) for change in HOSTILE_HEADERS]
    + [(n, v) for n, values in HOSTILE_ARRAYS.items() for v in values],
    ids=lambda value: repr(value)[:40],
)
def test_a_request_that_is_none(name, value, place, of_two):
    """Its hash is right, but not what it says."""
    specs, tmp_path, expected = of_two
    path = next(tmp_path.glob("run-*")) if place == "run" else chunk_files(tmp_path)[0]
    arrays = archive.read(path, chunks.KINDS)
    if isinstance(value, dict):
        header = json.loads(arrays["header"].tobytes()) | value
        arrays["header"] = np.frombuffer(json.dumps(header).encode(), np.uint8)
    elif value is None:
        del arrays[name]
    else:
        arrays[name] = value
    path.write_bytes(archive.dump(arrays))
    refused("load_result", tmp_path)
    assert content(train(specs, store=tmp_path)) == expected
    assert store.verify(tmp_path).problems == ()


@pytest.mark.parametrize(
    "text",
    [b"", b"[" * 100_000, b'{"a":' * 100_000, b"[]", b"1", b"null", b"\xff\xfe", b'{"sha256": 1}', b"9" * 9999,
     b"[" + b"[]," * 5_000_000 + b"1]"],
    ids=lambda text: repr(text)[:20],
)  # fmt: skip
def test_a_manifest_that_is_none(text, of_two):
    tmp_path = of_two[1]
    (tmp_path / "manifest.json").write_bytes(text)
    for ask in ASK.values():
        with pytest.raises(DamagedFileError, match="manifest.json is damaged"):
            ask(tmp_path)


@pytest.mark.parametrize("name", ["manifest.json", "run", "chunk", "state"])
def test_a_file_of_a_hundred_gigabytes_is_refused_unread(name, of_two):
    tmp_path = of_two[1]
    state = tmp_path / "states" / f"{'0' * 24}.npz"
    state.write_bytes(b"")
    path = {"run": next(tmp_path.glob("run-*")), "chunk": chunk_files(tmp_path)[0], "state": state}.get(
        name, tmp_path / "manifest.json"
    )
    with open(path, "r+b") as file:
        file.truncate(10**11)  # a hole
    tracemalloc.start()
    try:
        try:  # refused, or named as damaged, by the size of this machine's memory
            assert path.name in store.verify(tmp_path).problems[0]
        except DamagedFileError as error:
            assert path.name in str(error)
        if name != "state":
            with pytest.raises(DamagedFileError, match=path.name):
                store.load_result(tmp_path)
        assert tracemalloc.get_traced_memory()[1] < 10_000_000
    finally:
        tracemalloc.stop()


@pytest.mark.jit_heavy
@pytest.mark.parametrize("name", ["train_loss", "diverged_at", "networks", "snapshot_5", "header", "spec_width"])
@pytest.mark.parametrize("change", ["gone", "longer", "flat", "kind"])
def test_a_chunk_of_another_shape(name, change, of_six, capsys):
    """Its hash is right, but it is not what this run keeps."""
    specs, tmp_path, expected = of_six
    path = chunk_files(tmp_path)[0]
    arrays = archive.read(path, chunks.KINDS)
    if change == "gone":
        del arrays[name]
    elif change == "longer":
        arrays[name] = np.concatenate([arrays[name], arrays[name]])
    elif change == "flat":
        arrays[name] = arrays[name].reshape(1, -1) if arrays[name].ndim == 1 else arrays[name].ravel()
    else:
        arrays[name] = np.zeros(arrays[name].shape, np.complex128)
    path.write_bytes(archive.dump(arrays))
    assert str(path) in store.verify(tmp_path).problems[0]
    with pytest.raises(DamagedFileError, match=path.name):
        store.load_result(tmp_path)
    assert content(train(specs, store=tmp_path)) == expected
    assert path.name in capsys.readouterr().err
    assert store.verify(tmp_path).problems == ()


@settings(max_examples=40)
@given(st.lists(st.tuples(st.text(max_size=8), st.binary(max_size=40)), max_size=3), st.binary(max_size=60))
def test_any_zip_and_any_bytes(members, other):
    kinds = {"*": ("ifbuU", -1)}
    names = {name for name, _ in members}
    assume(len(names) == len(members) and not any("\0" in name for name in names))
    zipped = packed([(f"{name}.npy", npy("x", member)[: len(member) + 5] + member) for name, member in members])
    for bad in (other, zipped, zipped[:-1], other + zipped):
        with pytest.raises(DamagedFileError, match="owner"):
            archive.load(bad, kinds, "owner")


@pytest.mark.parametrize("cases", [300, pytest.param(20_000, marks=slow)])
def test_damaged_headers_with_right_checksums(cases):
    """Past the zip's own checks: what is read then is refused, or is the array that it says."""
    whole = archive.dump({"a": np.arange(6.0).reshape(2, 3)})
    with zipfile.ZipFile(io.BytesIO(whole)) as file:
        members = {member.filename: file.read(member) for member in file.infolist()}
    for seed in range(cases):
        draw = random.Random(seed)
        damaged = bytearray(members["a.npy"])
        for _ in range(draw.choice([1, 2, 4])):
            damaged[draw.randrange(90)] = draw.choice(b"0123456789{}()[]'\",:<>|fiuOSUVMmTrueFalse \n\0\xff")
        bad = packed([("a.npy", bytes(damaged)), ("sha256.npy", members["sha256.npy"])])
        try:
            found = archive.load(bad, ANY, "owner")
        except DamagedFileError:
            continue
        except BaseException as error:
            raise AssertionError(f"seed {seed}: {error!r}") from error
        np.testing.assert_array_equal(found["a"], np.arange(6.0).reshape(2, 3), err_msg=f"seed {seed}")


# ---- round trips ----

dtypes = st.sampled_from(["<f8", "<f4", "<f2", "<i8", "<i4", "|i1", "|u1", "|b1", "<U3", ">f8"])


@FEW
@given(st.data())
def test_any_arrays_come_back(data):
    arrays = {}
    for name in data.draw(st.lists(st.sampled_from(["a", "b_c", "w1", "räksmörgås", "x y"]), unique=True)):
        dtype = np.dtype(data.draw(dtypes))
        shape = tuple(data.draw(st.lists(st.integers(0, 4), max_size=3)))
        raw = np.random.default_rng(data.draw(st.integers(0, 99))).integers(0, 2, (*shape, dtype.itemsize), np.uint8)
        array = np.ascontiguousarray(raw).view(dtype).reshape(shape) if raw.size else np.zeros(shape, dtype)
        arrays[name] = data.draw(
            st.sampled_from([array, np.asfortranarray(array), array[..., ::-1] if shape else array])
        )
    content = archive.dump(arrays)
    assert content == archive.dump(dict(reversed(arrays.items()))) or len(arrays) > 1
    found = archive.load(content, ANY, "owner")
    assert set(found) == set(arrays)
    for name, array in arrays.items():
        assert found[name].dtype == array.dtype and found[name].shape == array.shape
        assert found[name].tobytes() == array.tobytes()


def test_no_objects_are_written():
    with pytest.raises(ValueError, match="array 'a' holds objects"):
        archive.dump({"a": np.array([{}])})


# ---- R7: odd arguments ----

x = np.linspace(-1, 1, 6)


def ask(x_train=x, y_train=x, specs=None, epochs=3, **options):
    specs = ensemble.grid(width=3, seed=[0, 1]) if specs is None else specs
    return ensemble.train(specs, ensemble.Dataset(x_train, y_train), epochs=epochs, progress=False, **options)


def with_value(value, at=2):
    changed = x.copy()
    changed[at] = value
    return changed


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"x_train": with_value(np.nan)}, r"x_train has nan in row 2"),
        ({"y_train": with_value(np.inf, 5)}, r"y_train has inf in row 5"),
        ({"x_train": np.column_stack([x, with_value(-np.inf)])}, r"x_train has -inf in row 2, column 1"),
        ({"x_train": [], "y_train": []}, "x_train is empty"),
        ({"x_train": np.array([None] * 6)}, "x_train has dtype object"),
        ({"x_train": x.astype(object)}, "x_train has dtype object"),
        ({"y_train": np.array(list("abcdef"))}, "y_train has dtype <U1"),
        ({"y_train": x * 1j}, "y_train has dtype complex128"),
        ({"y_train": x[1:]}, "x_train has 6 rows, but y_train has 5"),
        ({"epochs": -1}, "epochs must .*, not -1"),
        ({"epochs": 1.5}, "epochs must .*, not 1.5"),
        ({"epochs": True}, "epochs must .*, not True"),
        ({"epochs": 10**10}, "epochs must .*, not 10000000000"),
        ({"record": [4]}, "epoch of record must .*, not 4"),
        ({"snapshots": [-1]}, "epoch of snapshots must .*, not -1"),
        ({"threads": 0}, "threads must .*, not 0"),
        ({"engine": "quantum"}, "engine 'quantum'"),
    ],
)
def test_bad_input_is_named(arguments, message):
    with pytest.raises(ValueError, match=message):
        ask(**arguments)


@pytest.mark.parametrize("width", [0, -1, 1.5, np.nan])
def test_bad_widths_are_named(width):
    with pytest.raises(ValueError, match="width"):
        ensemble.grid(width=width)


@pytest.mark.parametrize(
    "arguments",
    [
        {"x_train": [0.5], "y_train": [1.0]}, {"x_train": np.full(6, 0.3)}, {"x_train": np.round(x)},
        {"x_train": x[::-1]}, {"epochs": 0}, {"x_train": x.astype(np.float16)}, {"y_train": [1, 2, 3, 4, 5, 6]},
        {"y_train": np.full(6, 2.0)}, {"specs": ensemble.grid(width=[1, 2, 1, 2], seed=[4, 4])},
    ],
    ids=repr,
)  # fmt: skip
@pytest.mark.parametrize("engine", ["spline", "dense", "numpy"])
def test_odd_input_trains_as_it_should(arguments, engine):
    result = ask(**arguments, engine=engine)
    again = ask(**arguments, engine="numpy")
    assert (result.status == "ok").all()
    np.testing.assert_allclose(result.train_loss, again.train_loss, rtol=1e-9, atol=1e-15)


# ---- properties, against plain loops ----

KINDS = {
    "float64": lambda a: a,
    "float32": lambda a: a.astype(np.float32),
    "float16": lambda a: a.astype(np.float16),
    "int": lambda a: np.round(a).astype(np.int16),
    "bool": lambda a: a > 0,
    "Fortran": np.asfortranarray,
    "strided": lambda a: np.repeat(a, 2, axis=0)[::2],
    "backwards": lambda a: a[::-1].copy()[::-1],
    "list": lambda a: a.tolist(),
    "big-endian": lambda a: a.astype(">f8"),
}


def read_only(array):
    if isinstance(array, np.ndarray):
        array = array.view()
        array.flags.writeable = False
    return array


@settings(max_examples=20)
@given(st.data())
def test_training_is_what_plain_loops_do(data):
    train_as_plain_loops_do(data)


@slow
@settings(max_examples=1000)
@given(st.data())
def test_training_is_what_plain_loops_do_at_length(data):
    train_as_plain_loops_do(data)


def train_as_plain_loops_do(data):
    """Train any spec on data of any shape, dtype and layout, in every engine that takes it."""
    draw = np.random.default_rng(data.draw(st.integers(0, 10**6)))
    n, d = data.draw(st.integers(1, 9)), data.draw(st.integers(1, 3))
    x_kind, y_kind = (data.draw(st.sampled_from(sorted(KINDS))) for _ in range(2))
    x = read_only(KINDS[x_kind](draw.uniform(-2, 2, (n, d))))
    y = read_only(KINDS[y_kind](draw.normal(size=n)))
    specs = ensemble.Specs(**{
        name: [data.draw(values) for _ in range(2)]
        for name, values in {
            "width": st.integers(1, 6), "seed": st.integers(0, 99), "lr": st.floats(1e-4, 0.05),
            "optimizer": st.sampled_from(["gd", "momentum", "adam"]),
            "schedule": st.sampled_from(["constant", "cosine"]), "init": st.sampled_from(["he", "uniform"]),
            "hidden_bias": st.booleans(), "output_bias": st.booleans(),
            "momentum": st.floats(0.0, 0.95), "beta2": st.floats(0.5, 0.999), "weight_decay": st.floats(0.0, 0.1),
        }.items()
    })  # fmt: skip
    epochs = data.draw(st.integers(0, 4))
    dataset = ensemble.Dataset(x, y)
    start = ensemble.initialize(specs, d)
    inputs, outputs = np.asarray(x, float).reshape(n, d), np.asarray(y, float)
    # A sample exactly on a unit's kink is on either side after rounding: both gradients are right.
    for network in start:
        z = inputs @ network.weights[0] + network.biases[0]
        assume(not np.any((np.abs(z) < 1e-9) & (np.abs(z) > 0)))
    for engine in ("numpy", "dense", "spline")[: 3 if d == 1 else 2]:
        result = ensemble.train(specs, dataset, epochs=epochs, engine=engine, progress=False)
        for i in range(len(specs)):
            expected = naive.train(inputs, outputs, naive.four(start[i]), epochs, specs[i]._asdict())
            for found, right in zip(naive.four(result.networks[i]), expected, strict=True):
                np.testing.assert_allclose(found, right, rtol=1e-6, atol=1e-8, err_msg=engine)
            error = naive.mse(naive.forward(inputs, *expected), outputs)
            np.testing.assert_allclose(result.train_loss[i, -1], error, rtol=1e-6, atol=1e-10, err_msg=engine)


# ---- tables ----


def load_table(path):
    """Load a file as a user would; a Dataset or a ValueError that names the file or the part."""
    try:
        data = ensemble.load_csv(path, "x", "y")
    except ValueError as error:
        assert any(word in str(error) for word in (str(path), "fraction", "cannot be standardized")), error
        return None
    assert isinstance(data, ensemble.Dataset)
    assert np.isfinite(data.x_train).all() and np.isfinite(data.y_train).all()
    return data


@FEW
@given(content=st.binary(max_size=300))
def test_any_bytes_as_a_table(content, tmp_path):
    path = tmp_path / "table.csv"
    path.write_bytes(content)
    load_table(path)
    path.write_bytes(b"x,y\n1,2\n" + content)
    load_table(path)


TABLE = b"x,y,name\r\n" + b"".join(b'%d.5,%d,"a, ""b"""\r\n' % (i, i * i) for i in range(12))
BITS = [
    b",", b'"', b"\n", b"\r", b"\0", b"\xff", b"nan", b"inf", b"1e999", b"", b" ", b"1_0", b"\xef\xbb\xbf", b"x", b"-",
    b"0x1", "٣".encode(), b"1" * 5000, b"1" * 140_000,
]  # fmt: skip


@pytest.mark.parametrize("cases", [200, pytest.param(20_000, marks=slow)])
def test_a_changed_table(cases, tmp_path):
    path = tmp_path / "table.csv"
    loaded = 0
    for seed in range(cases):
        draw = random.Random(seed)
        table = TABLE
        for _ in range(draw.choice([1, 1, 2, 5])):
            at = draw.randrange(len(table))
            table = table[:at] + draw.choice(BITS) + table[at + draw.choice([0, 0, 1, 2]) :]
        path.write_bytes(table)
        try:
            loaded += load_table(path) is not None
        except BaseException as error:
            raise AssertionError(f"seed {seed}: {error!r}") from error
    assert 0 < loaded < cases


if JIT_DISABLED:  # interpreted kernels warn where compiled ones just go on to infinity
    pytestmark = pytest.mark.filterwarnings("ignore:(overflow|invalid value) encountered")
