"""How children are drawn, against the published search (methods.md 4.4) written anew and slowly."""

import random
import statistics

from genas.proxies import Proxy
from genas.spaces import Cost, Space, open_space
from genas.strategies import Evolution, History, Record, SearchSettings, run_search

DARTS = open_space("darts", cells=3, channels=4, mutation="as-published")
SMALL = open_space("nasbench201", cells_per_stage=1, channels=4)


class Additive(Proxy):
    """Every operation on every edge has a value of its own; the score is their sum."""

    def __init__(self, seed):
        rng = random.Random(seed)
        self.table = [[0.0, *(rng.gauss(0, 1) for _ in range(7))] for _ in range(28)]

    def of(self, numbers):
        return sum(row[number] for row, number in zip(self.table, numbers, strict=True))

    def score(self, architecture):
        return self.of(architecture.edges)


def made_legal(numbers, rng):
    """methods.md 1.3: node by node, surplus operations dropped, missing ones filled in."""
    out = list(numbers)
    for first, inputs in ((0, 2), (2, 3), (5, 4), (9, 5), (14, 2), (16, 3), (19, 4), (23, 5)):
        places = range(first, first + inputs)
        while sum(out[place] > 0 for place in places) > 2:
            out[rng.choice([place for place in places if out[place]])] = 0
        while sum(out[place] > 0 for place in places) < 2:
            out[rng.choice([place for place in places if not out[place]])] = rng.randint(1, 7)
    return tuple(out)


def published_crossovers(proxy, rng, generations=20):
    """Crossovers in each generation after the first, as the published search counts them."""
    met, visited, best, counts = set(), set(), [], []
    scores = {}

    def accept(raw, into, wanted):
        if raw in met or len(into) == wanted:
            return
        met.add(raw)
        child = made_legal(raw, rng)
        met.add(child)
        if child not in visited:
            visited.add(child)
            scores[child] = proxy.of(child)
            into.append(child)

    def filled(wanted):
        found = []
        while len(found) < wanted:
            accept(tuple(rng.randrange(8) for _ in range(28)), found, wanted)
        return found

    population = filled(50)
    for _ in range(1, generations):
        best = sorted(best + population, key=scores.__getitem__, reverse=True)[:10]
        mutations, crossovers = [], []
        while len(mutations) < 25:
            parent = rng.choice(best)
            raw = [rng.randrange(8) if place < 14 and rng.random() < 0.1 else parent[place] for place in range(28)]
            accept(tuple(raw), mutations, 25)
        for _ in range(26):  # lots of 10
            for _ in range(10):
                first, second = rng.choice(best), rng.choice(best)
                accept(tuple(rng.choice(pair) for pair in zip(first, second, strict=True)), crossovers, 25)
        counts.append(len(crossovers))
        population = mutations + crossovers + filled(50 - len(mutations) - len(crossovers))
    return counts


def crossovers(proxy, seed, breeding):
    settings = SearchSettings(budget="exact", breeding=breeding, share_functions=False)
    with History(":memory:") as history:
        run_search(Evolution(DARTS, settings), proxy, history, lambda architecture: Cost(0, 0), seed, quiet=True)
        return [sum(one.origin == "crossover" for one in history.generation(number)) for number in range(1, 20)]


def test_late_generations_get_as_few_crossovers_as_in_the_published_search():
    found = {
        "as-published": [crossovers(Additive(seed), seed, "as-published") for seed in range(6)],
        "fresh": [crossovers(Additive(seed), seed, "fresh") for seed in range(2)],
        "published": [published_crossovers(Additive(seed), random.Random(seed)) for seed in range(24)],
    }

    def late(name):  # generations 16 to 20
        return statistics.mean(statistics.mean(row[-5:]) for row in found[name])

    assert abs(late("as-published") - late("published")) < 6
    assert late("fresh") > late("published") + 5
    assert all(row[:5] == [25] * 5 for rows in found.values() for row in rows)  # parents differ at first


class Scripted(Space):
    """Children come from a stream, in few texts: the same stream can be read by the test."""

    name = "scripted"

    def __init__(self, few=12):
        self.children = [SMALL.sample(random.Random(seed)) for seed in range(few)]
        self.stream = random.Random(7)
        self.draws = 0

    def drawn(self):
        """A text before the repair, and one of two children that the repair may make of it."""
        self.draws += 1
        number = self.stream.randrange(30)
        return f"raw {number}", self.children[(number + self.stream.randrange(2)) % len(self.children)]

    def mutate_draft(self, architecture, rng, probability=0.1):
        return self.drawn()

    def crossover_draft(self, first, second, rng):
        return self.drawn()

    def sample(self, rng):
        return SMALL.sample(rng)

    def parse(self, text):
        return SMALL.parse(text)

    mutate = crossover = network = size = None


def record(genotype, generation, score):
    return Record(0, genotype, generation, "random", (), None, score, {}, 1, 1, 0.0)


def test_draws_are_accepted_one_by_one_as_published():
    """The same stream of draws: mutation goes on until it has its children, crossover ends after 10 x (children + 1)."""
    settings = SearchSettings(population=12, parents=2, mutations=3, crossovers=4, breeding="as-published")
    space, script = Scripted(), Scripted()
    search = Evolution(space, settings)
    met, visited = set(), set()
    with History(":memory:") as history:
        for number, architecture in enumerate(SMALL.sample(random.Random(seed)) for seed in (90, 91)):
            history.add(record(architecture.genotype, 0, float(number)))
            visited.add(architecture.genotype)
        for generation in (1, 2, 3):
            wanted = []
            limits = ((3, 10**9), (4, 50))
            if generation == 3:  # hardly a new text is left
                limits = ((0, 0), (4, 50))
                search = Evolution(space, settings.model_copy(update={"mutations": 0}))
            for count, most in limits:
                got = tries = 0
                while got < count and tries < most:
                    tries += 1
                    raw, child = script.drawn()
                    if raw in met:
                        continue
                    met.add(raw)
                    if child.genotype not in visited:
                        visited.add(child.genotype)
                        wanted.append(child.genotype)
                        got += 1
            asked = search.ask(history, random.Random(generation), generation)
            bred = [one.architecture.genotype for one in asked if one.origin != "random"]
            assert bred == wanted
            assert space.draws == script.draws
            assert len(asked) == 12
            for one in asked:
                history.add(record(one.architecture.genotype, generation, -1.0))
                visited.add(one.architecture.genotype)
        assert len(met) > 20  # many a text came again


def test_what_was_met_is_remembered_in_the_history(tmp_path):
    """A search that continues in another process proposes what it would have proposed without the break."""
    settings = SearchSettings(
        generations=6, population=8, parents=2, mutations=4, crossovers=4, breeding="as-published"
    )
    proxy = Additive(1)

    def genotypes(history):
        return [(one.generation, one.origin, one.genotype) for one in history]

    def cost(architecture):
        return Cost(0, 0)

    with History(":memory:") as history:
        run_search(Evolution(DARTS, settings), proxy, history, cost, 3, quiet=True)
        expected = genotypes(history)
        assert history.drafts(before_generation=1) == set()
        assert len(history.drafts(before_generation=6)) > 20
    for generations in (2, 4, 6):
        some = settings.model_copy(update={"generations": generations})
        with History(tmp_path / "history.sqlite") as history:
            run_search(Evolution(DARTS, some), proxy, history, cost, 3, quiet=True)
    with History(tmp_path / "history.sqlite") as history:
        assert genotypes(history) == expected
        again = Evolution(DARTS, settings).ask(history, random.Random(1), 3)
        assert again == Evolution(DARTS, settings).ask(history, random.Random(1), 3)
