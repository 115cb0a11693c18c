"""The list of differences from the original: complete in the document, and judged both ways."""
import pathlib
import sys

sys.path += [str(pathlib.Path(__file__).parents[1] / d) for d in ("support", "conformance")]
import test_conformance as tc  # noqa: E402
from magnumtest import check_equal, main  # noqa: E402


class Corpus:
    def __init__(self, name):
        self.name = name


def step(name, result):
    return {"scenario": "s", "step": name, "result": result}


LISTED = {("s", "a"): "because"}


def every_difference_has_a_reason_and_is_in_the_document():
    tc.listed_differences()
    tc.check_document()


def an_unlisted_difference_is_wrong():
    found = tc.judge([step("a", "failed"), step("b", "failed")], LISTED, Corpus("zed"))
    check_equal(found, ["zed: not listed in differences.yaml: s b"], "judgement")


def a_listed_step_that_is_equal_is_wrong():
    found = tc.judge([step("a", "passed"), step("b", "passed")], LISTED, Corpus("zed"))
    check_equal(found, ["zed: listed in differences.yaml but equal: s a"], "judgement")
    check_equal(tc.judge([step("a", "passed")], LISTED, Corpus("given")), [], "of another corpus")


def a_listed_step_that_no_corpus_has_is_wrong():
    found = tc.unknown_steps([{"steps": [step("b", "passed")]}], LISTED)
    check_equal(found, ["listed in differences.yaml but in no corpus: s a"], "judgement")


main(__name__, [every_difference_has_a_reason_and_is_in_the_document,
                an_unlisted_difference_is_wrong, a_listed_step_that_is_equal_is_wrong,
                a_listed_step_that_no_corpus_has_is_wrong])
