from minibp_datasets import registry
from small_sweeps import HOW, jobs

from minibp.experiments.job import DONE, ELSEWHERE, DataSource, Worker, jobs_of, locked, work
from minibp.study.recipe import paper_experiment


def test_the_jobs_of_the_papers_grid(tmp_path):
    from minibp.study import paper

    experiments = [
        (paper_experiment("digits", "mnist", condition), DataSource("digits"))
        for condition in paper.conditions()
    ]
    found = jobs_of(experiments, tmp_path)
    assert len(found) == 35 * 5 + 5  # uSF+BM has a second batch schedule
    assert len({job.place for job in found}) == len(found)


def test_weights_are_kept_by_choice(tmp_path):
    job = jobs(tmp_path)[0]
    assert work(job, registry.load, Worker(kernels="plain", keep_weights=True)).state == DONE
    assert (job.place / "checkpoint.h5").exists()


def test_a_run_that_somebody_else_does_is_left_to_them(tmp_path):
    job = jobs(tmp_path)[0]
    job.place.mkdir(parents=True)
    with locked(job.place / "lock") as mine:
        assert mine
        assert work(job, registry.load, HOW).state == ELSEWHERE
    assert work(job, registry.load, HOW).state == DONE
