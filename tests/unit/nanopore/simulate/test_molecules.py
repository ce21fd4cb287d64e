"""Molecules that are simulated: adapters, primers and tails around a fragment."""

from biorrn.nanopore.reads.kits import find_kit
from biorrn.nanopore.simulate.molecules import ADAPTER, OLIGO_DT, STRAND_SWITCH, TAIL, ends
from biorrn.sequences.alphabets import decode_bases, reverse_complement


def test_half_of_the_cdna_begins_with_poly_t() -> None:
    made = [ends(None, (20, 40), 0, number) for number in range(60)]
    assert {each.poly_a for each in made} == set(range(20, 41)) & {each.poly_a for each in made}
    assert len({each.poly_a for each in made}) > 10
    turned = [each for each in made if each.turned]
    assert 15 < len(turned) < 45
    for each in made:
        front, rear = decode_bases(each.front), decode_bases(each.rear)
        one, other = decode_bases(STRAND_SWITCH), decode_bases(OLIGO_DT)
        start, end = decode_bases(ADAPTER), decode_bases(TAIL)
        if each.turned:
            assert front == start + other + "T" * each.poly_a
            assert rear == decode_bases(reverse_complement(STRAND_SWITCH)) + end
        else:
            assert front == start + one
            assert rear == "A" * each.poly_a + decode_bases(reverse_complement(OLIGO_DT)) + end


def test_barcodes_stand_outside_the_primers() -> None:
    kit = find_kit("SQK-NBD114-24")
    plain, tailed = ends(kit, None, 0, 1), ends(kit, (30, 30), 0, 1)
    assert decode_bases(tailed.front).startswith(decode_bases(plain.front))
    assert decode_bases(tailed.rear).endswith(decode_bases(plain.rear))
    assert (plain.poly_a, tailed.poly_a) == (0, 30)
