"""Proteins from tables and from FASTA joined with a table."""

import gzip
import zipfile
from collections import Counter
from itertools import islice

import numpy as np
import pytest

from biorrn.base.errors import BiorrnError, ConfigError, InputError
from biorrn.sequences.rows import TableOptions, is_fasta, protein_rows
from biorrn.sequences.tables.reader import Reading

TABLE = "id,sequence,tm,w,set\na,MKV,1.5,2,train\nb,acd,,1,valid\na,WWW,3,1,test\n"


def write(folder, name, text):
    (folder / name).write_text(text)
    return folder / name


def rows(path, targets=("tm",), **options):
    counts = Counter()
    own = {name: options.pop(name) for name in [*options] if name in TableOptions.__dataclass_fields__}
    return list(protein_rows(path, targets, counts, options=TableOptions(**own), **options)), counts


def test_a_table_gives_its_rows(tmp_path):
    found, counts = rows(write(tmp_path, "t.csv", TABLE), weight_column="w", split_column="set")
    assert [row.id for row in found] == ["a", "b", "a#2"]
    assert [row.sequence for row in found] == ["MKV", "ACD", "WWW"]
    assert np.array_equal([row.targets[0] for row in found], [1.5, np.nan, 3], equal_nan=True)
    assert [row.weight for row in found] == [2, 1, 1]
    assert [row.split for row in found] == ["train", "valid", "test"]
    assert counts == {"renamed: id came before": 1}


def test_ids_are_made_different_whatever_they_are(tmp_path):
    text = "id,sequence,tm\n" + "".join(f"{name},ACD,1\n" for name in ["a", "a#2", "a", "a", "a#2"])
    found, counts = rows(write(tmp_path, "t.csv", text))
    names = [row.id for row in found]
    assert len(set(names)) == 5
    assert names[:2] == ["a", "a#2"]
    assert counts["renamed: id came before"] == 3


def test_a_table_without_ids_is_numbered(tmp_path):
    path = write(tmp_path, "t.tsv", "sequence\ttm\nACD\t1\nWWW\t2\n")
    assert [row.id for row in rows(path)[0]] == ["row1", "row2"]
    with pytest.raises(InputError, match="column 'id' is missing"):
        rows(path, id_column="id")


def test_fasta_is_joined_by_id(tmp_path):
    fasta = write(tmp_path, "p.fasta", ">c odd\nWW\n>a\nMK\nV\n>z\nAAA\n")
    table = write(tmp_path, "t.csv", "id,tm,set\na,1,train\nb,2,train\nc,3,valid\n")
    found, counts = rows(fasta, table=table, split_column="set")
    assert [(row.id, row.sequence, row.targets, row.split) for row in found] == [
        ("c", "WW", (3.0,), "valid"),
        ("a", "MKV", (1.0,), "train"),
    ]
    assert counts == {"dropped: no row in the table": 1, "table rows without a protein": 1}


def test_several_targets(tmp_path):
    path = write(tmp_path, "t.csv", "id,sequence,b,a\nx,ACD,1,2\n")
    assert rows(path, ["a", "b"])[0][0].targets == (2.0, 1.0)


@pytest.mark.parametrize(
    ("name", "text", "answer"),
    [
        ("a.fa", "", True),
        ("a.fasta.gz", "", True),
        ("a.csv", ">", False),
        ("a.txt", ">a", True),
        ("b.txt", "id", False),
    ],
)
def test_what_is_fasta(tmp_path, name, text, answer):
    assert is_fasta(write(tmp_path, name, text)) is answer


@pytest.mark.parametrize(
    ("targets", "table", "error", "message"),
    [
        ([], None, ConfigError, "--target: found none"),
        (["tm", "tm"], None, ConfigError, "'tm' is given twice"),
        (["tm"], "t.csv", ConfigError, "is for FASTA input"),
        (["mt"], None, InputError, "column 'mt' is missing; did you mean 'tm'"),
        (["set"], None, InputError, "row 1: column 'set': found 'train'; allowed is a finite number"),
    ],
)
def test_bad_choices_of_a_table(tmp_path, targets, table, error, message):
    path = write(tmp_path, "t.csv", TABLE)
    with pytest.raises(error, match=message):
        rows(path, targets, table=table)


def test_bad_choices_of_fasta(tmp_path):
    fasta = write(tmp_path, "p.fasta", ">a\nMKV\n")
    with pytest.raises(ConfigError, match="is FASTA, which holds no values; name their table with --targets"):
        rows(fasta)
    with pytest.raises(InputError, match=r"no id of the FASTA is in column 'id' of .*, which has ids as 'q'"):
        rows(fasta, table=write(tmp_path, "t.csv", "id,tm\nq,1\n"))
    with pytest.raises(InputError, match="record 'a': column 'id': the id is given twice"):
        rows(fasta, table=write(tmp_path, "u.csv", "id,tm\na,1\na,1\n"))


WILD = "MTYKLILNGKTLKGETTTEAVDAATAEKVFKQYANDNGVDGEWTYDDATKTFTVTE"


def mutant(*changes):
    letters = list(WILD)
    for change in changes:
        letters[int(change[1:-1]) - 1] = change[-1]
    return "".join(letters)


def read(path, targets=("score",), **options):
    reading = Reading()
    found, counts = rows(path, targets, reading=reading, **options)
    return found, counts, reading


@pytest.mark.parametrize("name", ["mutant", "Mutations", " HGVS pro", "aa_change", "variant", "what_was_done"])
@pytest.mark.parametrize("how", ["sequence", "fasta", "column"])
def test_mutations_are_applied_to_the_wild_type(tmp_path, name, how):
    """The column is found by its name, or by what it holds; the wild type is a sequence, a file or a column."""
    given = {"sequence": WILD, "fasta": write(tmp_path, "wt.fa", f">gb\n{WILD}\n"), "column": "parent"}[how]
    cells = [("K10Y", 1), ("p.[Thr18Glu;Tyr33Arg]", 2), ("WT", 3), ("T2P/K4E", 4)]
    text = f"{name},score,parent\n" + "".join(f"{cell},{value},{WILD}\n" for cell, value in cells)
    found, counts, reading = read(write(tmp_path, "t.csv", text), wild_type=str(given))
    assert [row.sequence for row in found] == [
        *(mutant("K10Y"), mutant("T18E", "Y33R"), WILD, mutant("T2P", "K4E")),
    ]
    assert [row.id for row in found] == [row.mutation for row in found] == [cell for cell, _ in cells]
    assert [row.targets for row in found] == [(1,), (2,), (3,), (4,)]
    assert not counts
    assert "4 variants, at most 2 mutations in one, 1 of them wild type or synonymous" in reading.facts["mutations"]


def test_a_column_is_taken_for_what_it_holds(tmp_path):
    """Names mislead: `protein` may hold names, `variant` numbers, and any column mutations."""
    text = "protein,variant,change,score\nGB1,v1,K10Y,1\nGB1,v2,T18E,2\n"
    for name in ("t.csv", "t.txt"):
        found, _, _ = read(write(tmp_path, name, text), wild_type=WILD)
        assert [row.sequence for row in found] == [mutant("K10Y"), mutant("T18E")]
        assert [row.id for row in found] == ["K10Y", "T18E"]
    named = read(write(tmp_path, "u.csv", text), wild_type=WILD, sequence_column="change", id_column="variant")[0]
    assert [(row.id, row.sequence) for row in named] == [("v1", mutant("K10Y")), ("v2", mutant("T18E"))]


def test_mutants_of_several_proteins_have_names_of_their_own(tmp_path):
    """By the ids of their wild types, or numbered where these have none; mutants of one protein keep theirs."""
    lines = [f"{mutation},{wild},1\n" for wild in (WILD, WILD + "A") for mutation in ("K10Y", "WT")]
    found, _, _ = read(write(tmp_path, "t.csv", "mutant,wt_seq,score\n" + "".join(lines)))
    assert [row.id for row in found] == ["protein1:K10Y", "protein1:WT", "protein2:K10Y", "protein2:WT"]
    found, _, _ = read(write(tmp_path, "o.csv", "mutant,wt_seq,score\n" + "".join(lines[:2])))
    assert [row.id for row in found] == ["K10Y", "WT"]
    fasta = write(tmp_path, "w.fa", f">P1\n{WILD}\n>P2\n{WILD}A\n")
    text = "hgvs_pro,score\nP1:p.Lys10Tyr,1\nP2:p.Lys10Tyr,2\n"
    found, _, _ = read(write(tmp_path, "h.csv", text), wild_type=str(fasta))
    assert [row.id.partition(":")[0] for row in found] == ["P1", "P2"]


def test_a_table_of_mutations_alone_asks_for_their_wild_type(tmp_path):
    path = write(tmp_path, "t.csv", "mutant,DMS_score\nK10Y,1\nT18E,2\n")
    with pytest.raises(InputError, match=r"column 'mutant' holds mutations, as 'K10Y'.* --wild-type FASTA\|SEQUENCE"):
        rows(path, ["DMS_score"])
    for given, message in (
        ("none.fa", "none.fa: not found"),
        (
            "column_x",
            "found 'column_x', which is neither a file nor a sequence .*nor a column of the table .mutant, DMS",
        ),
        ("wildtyp", "--wild-type: found 'wildtyp', which is neither a file nor a sequence"),
        ("mutants", "did you mean the column 'mutant'"),
        ("MKV" * 9, "mutation 'K10Y': found 'M' at position 10 of the wild type, expected 'K'"),
    ):
        with pytest.raises(BiorrnError, match=message):
            rows(path, ["DMS_score"], wild_type=given)
    sequences = write(tmp_path, "s.csv", "id,sequence,score\na,ACD,1\n")
    for options in ({"wild_type": WILD}, {"offset": 3}):
        with pytest.raises(ConfigError, match=r"is for a column of mutations; .*s\.csv has none among id, sequence"):
            rows(sequences, ["score"], **options)
    with pytest.raises(ConfigError, match="--wild-type: mutations are read from a file"):
        rows("-", ["score"], wild_type=WILD)


def test_the_numbering_that_fits_is_proposed_and_then_used(tmp_path):
    for offset in (-1, 226):
        changes = [
            f"{WILD[place - 1]}{place + offset}{'A' if WILD[place - 1] != 'A' else 'G'}" for place in (1, 9, 30, 56)
        ]
        path = write(tmp_path, "t.csv", "mutant,score\n" + "".join(f"{change},1.5\n" for change in changes))
        with pytest.raises(InputError) as caught:
            read(path, wild_type=WILD)
        assert f"with --offset {offset} all 4 residues that they name match" in str(caught.value)
        assert str(caught.value).startswith(f"{path}: row1: mutation '{changes[0]}': ")
        assert len(read(path, wild_type=WILD, offset=offset)[0]) == 4


def test_one_bad_mutation_among_many_is_named_and_left_out(tmp_path):
    bad = {"W43*": "stop codon", "A23fs": "frameshift", "K99R": "position 99", "D3G": "found 'Y'", "K4B": "found 'B'"}
    bad |= {"T2P;T2A": "overlap", "": "found ''", "A2?": "unknown effect"}
    good = [f"{WILD[place]}{place + 1}W" for place in range(0, 40, 2)]
    cells = [*good[:3], *bad, *good[3:]]
    path = write(tmp_path, "t.csv", "mutant,score\n" + "".join(f"{cell},1.5\n" for cell in cells))
    found, _, reading = read(path, wild_type=WILD)
    assert [row.id for row in found] == good
    assert reading.dropped == len(bad)
    for place, (problem, message) in enumerate(zip(reading.left_out, bad.values(), strict=True), 4):
        assert problem.record == f"row{place}"
        assert message in str(problem)
    with pytest.raises(InputError, match="record 'row4': mutation 'W43\\*': stop codon"):
        rows(path, ["score"], wild_type=WILD, reading=Reading(strict=True))
    with pytest.raises(InputError, match=r"none of 2 variants can be used \(stop codon: 2\)"):
        rows(write(tmp_path, "b.csv", "mutant,score\nW43*,1\nK10*,2\n"), ["score"], wild_type=WILD)


def test_several_wild_types_by_a_column_of_ids_or_of_sequences(tmp_path):
    fasta = write(tmp_path, "wt.fa", f">sp|P1|GB1 protein G\n{WILD}\n>pin\nKLPPGWEKRM\n")
    lines = [("GB1", "K10Y", WILD), ("pin", "K1A", "KLPPGWEKRM"), ("P1", "WT", WILD), ("pin", "P3G", "KLPPGWEKRM")]
    text = "score,protein_id,mutation,wt_sequence\n" + "".join(
        f"1,{name},{cell},{wild}\n" for name, cell, wild in lines
    )
    path = write(tmp_path, "t.csv", text)
    wanted = [mutant("K10Y"), "ALPPGWEKRM", WILD, "KLGPGWEKRM"]
    for given in (str(fasta), "wt_sequence", None):  # a column named so is found
        found, _, reading = read(path, wild_type=given)
        assert [row.sequence for row in found] == wanted
        assert [row.id for row in found] == ["GB1:K10Y", "pin:K1A", "P1:WT", "pin:P3G"]
        assert "2 wild types" in reading.facts["mutations"]
    named = write(tmp_path, "n.csv", "hgvs_pro,score\nP1:p.Lys10Tyr,1\npin:p.Lys1Ala,2\nGB1:p.=,3\n")
    assert [row.sequence for row in read(named, wild_type=str(fasta))[0]] == wanted[:3]
    none = write(tmp_path, "u.csv", "mutation,score\nK10Y,1\n")
    with pytest.raises(
        InputError, match=r"holds 2 proteins; a column of the table must name the wild type of each row"
    ):
        read(none, wild_type=str(fasta))


def test_sequences_are_used_and_checked_where_there_are_both(tmp_path):
    text = "mutant,mutated_sequence,DMS_score\n" + "".join(
        f"{change},{sequence},1.5\n" for change, sequence in [("K10Y", mutant("K10Y")), ("T18E", mutant("T18F"))]
    )
    path = write(tmp_path, "t.csv", text)
    found, _, reading = read(path, ["DMS_score"])
    assert [(row.id, row.sequence) for row in found] == [("K10Y", mutant("K10Y")), ("T18E", mutant("T18F"))]
    assert reading.facts["layout"] == "that of ProteinGym"
    assert not reading.warnings
    found, _, reading = read(path, ["DMS_score"], wild_type=WILD)
    assert [row.sequence for row in found] == [mutant("K10Y"), mutant("T18F")]
    assert "1 sequences of column 'mutated_sequence' differ" in reading.warnings[0]
    assert "'T18E'" in reading.warnings[0]


LAYOUTS = {  # name: the table, its column of values, whether it needs the wild type, the splits or sequences that come
    "ProteinGym": (
        f"mutant,mutated_sequence,DMS_score,DMS_score_bin\nK10Y:T18E,{mutant('K10Y', 'T18E')},0.5,1\n",
        *("DMS_score", False, [mutant("K10Y", "T18E")]),
    ),
    "MaveDB": (
        "accession,hgvs_nt,hgvs_splice,hgvs_pro,score\nurn:mavedb:1-a-1#1,NA,NA,p.Lys10Tyr,0.5\n"
        "urn:mavedb:1-a-1#2,c.1A>G,NA,p.=,1\nurn:mavedb:1-a-1#3,NA,NA,_wt,1\nurn:mavedb:1-a-1#4,NA,NA,_sy,1\n"
        "urn:mavedb:1-a-1#5,NA,NA,p.Lys10Ter,0\nurn:mavedb:1-a-1#6,NA,NA,NA,2\nurn:mavedb:1-a-1#7,NA,NA,p.Lys10=,2\n",
        *("score", True, [mutant("K10Y"), WILD, WILD, WILD, WILD]),
    ),
    "METL": (
        "variant\tnum_mutations\tscore\n_wt\t0\t0\nK10Y,T18E\t2\t1.5\n",
        *("score", True, [WILD, mutant("K10Y", "T18E")]),
    ),
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_published_layouts_are_known(tmp_path, layout):
    text, target, needs, sequences = LAYOUTS[layout]
    path = write(tmp_path, "t.csv", text)
    found, _, reading = read(path, [target], wild_type=WILD if needs else None)
    assert [row.sequence for row in found] == sequences
    assert reading.facts["layout"] == f"that of {layout}"
    if layout == "MaveDB":
        assert [row.id for row in found] == [f"urn:mavedb:1-a-1#{number}" for number in (1, 2, 3, 4, 7)]
        assert "4 of them wild type or synonymous; 2 left out" in reading.facts["mutations"]


@pytest.mark.parametrize("form", ["FLIP", "biotrainer"])
def test_splits_come_of_set_and_validation(tmp_path, form):
    cells = [("ACD", 1.0, "train", "False"), ("WWW", 2.5, "train", "True"), ("MKV", 3.0, "test", "")]
    if form == "FLIP":
        text = "sequence,target,set,validation\n" + "".join(f"{','.join(map(str, row))}\n" for row in cells)
        path = write(tmp_path, "t.csv", text)
    else:
        entries = (
            f">s{k} TARGET={y} SET={part} VALIDATION={mark}\n{s[:2]}\n{s[2:]}\n"
            for k, (s, y, part, mark) in enumerate(cells)
        )
        path = write(tmp_path, "t.fasta", "".join(entries))
    found, _, reading = read(path, ["target"], split_column="set")
    assert [(row.sequence, row.targets[0], row.split) for row in found] == [
        *(("ACD", 1.0, "train"), ("WWW", 2.5, "valid"), ("MKV", 3.0, "test")),
    ]
    assert form in reading.facts["layout"]
    plain_fasta = write(tmp_path, "u.fasta", ">sp|P1|X OS=Homo sapiens OX=9606 GN=X PE=1 SV=2\nMKV\n")
    with pytest.raises(ConfigError, match="is FASTA, which holds no values"):
        rows(plain_fasta, ["target"])


def head(source, tmp_path, lines=3000):
    """Return the first lines of a packed table, as a file."""
    with gzip.open(source, "rt") as file:
        return write(tmp_path, source.name.removesuffix(".gz"), "".join(islice(file, lines)))


def test_real_tables_of_mutations(shared_data, tmp_path):
    """The first rows of one of each kind."""
    folder = shared_data / "protein"
    scan = folder / "dms" / "SUMO1_HUMAN_Weile_2017"
    found, _, _ = read(scan.with_suffix(".csv.gz"), wild_type=str(scan.with_suffix(".fasta")))
    assert len(found) == 1700
    assert found[0].id == "S2Y"
    assert found[0].sequence.startswith("MYDQ")
    domains = head(folder / "ddg" / "domains_train.csv.gz", tmp_path)
    found, _, _ = read(domains, ["ddg"], wild_type="wt_sequence")
    assert len(found) == 2999
    assert found[0].id == "1aoy_A_7-75:Q1A"
    grb2 = "TYVQALFDFDPQEDGELGFRRGDFIHVMDNSDPNWWKGACHGQTGMFPRNYVTPVN"
    multiple = head(folder / "dms" / "multi_grb2-abundance.tsv.gz", tmp_path)
    with pytest.raises(InputError, match=r"with --offset -1 all .* residues that they name match"):
        read(multiple, wild_type=grb2)
    found, _, reading = read(multiple, wild_type=grb2, offset=-1)
    assert len(found) == 2999
    assert reading.facts["layout"] == "that of METL"


@pytest.mark.parametrize("member", ["splits/two_vs_rest.csv", "splits/two_vs_rest.fasta"])
def test_real_tables_with_splits(shared_data, tmp_path, member):
    with zipfile.ZipFile(shared_data / "protein" / "flip_gb1" / "splits.zip") as archive:
        archive.extract(member, tmp_path)
    found, _, _ = read(tmp_path / member, ["target"], split_column="set")
    assert Counter(row.split for row in found) == {"train": 381, "valid": 43, "test": 8309}
    with pytest.raises(InputError, match=r"is a zip archive.*unpack it"):
        read(shared_data / "protein" / "flip_gb1" / "splits.zip", ["target"])


def test_a_first_row_of_data_is_no_column_of_mutations(tmp_path):
    path = write(tmp_path, "t.csv", "".join(f"K{n}A,MTYKLILNGKTLKGETTTEAVD,{n}.5\n" for n in range(10, 20)))
    with pytest.raises(InputError, match="the first line looks like data"):
        rows(path)
