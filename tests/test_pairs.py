from itertools import combinations, product

from pairs import covering, each_pair


def test_any_two_settings_take_all_their_values_together_in_few_cases():
    counts = (2, 5, 2, 2)
    chosen = covering(counts)
    for one, other in combinations(range(len(counts)), 2):
        found = {(place[one], place[other]) for place in chosen}
        assert found == set(product(range(counts[one]), range(counts[other])))
    assert len(chosen) <= 12


def test_the_other_combinations_are_slow():
    mark = each_pair(rank=[2, 3], mixing=["plain", "lu"], border=[True, False])
    names, cases = mark.args
    assert names == ("rank", "mixing", "border")
    assert {case.values for case in cases} == set(product([2, 3], ["plain", "lu"], [True, False]))
    assert sum(not case.marks for case in cases) == 4
