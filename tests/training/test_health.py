import pytest

from bioacoustics.training.health import CollapseError, DivergedError, HealthConfig, check_health


def row(update: int, **values: float) -> dict[str, int | float]:
    return {"update": update, "num_skipped_in_a_row": 0.0, **values}


def test_healthy_rows_pass() -> None:
    check_health(HealthConfig(), row(9000, target_std=0.9, prediction_std=0.2), 400_000)
    check_health(HealthConfig(), row(9000, loss=3.0), 400_000)


@pytest.mark.parametrize(
    ("name", "who"), [("target_std", "teacher's targets"), ("prediction_std", "student's")]
)
def test_collapse_is_an_error_after_the_grace(name: str, who: str) -> None:
    for update, num_updates in ((5000, 400_000), (500, 1000)):
        check_health(HealthConfig(), row(update, **{name: 0.001}), num_updates)
        with pytest.raises(CollapseError, match=rf"{who}.* at update {update + 1} .* is 0.0010"):
            check_health(HealthConfig(), row(update + 1, **{name: 0.001}), num_updates)
    with pytest.raises(CollapseError):
        check_health(HealthConfig(grace_updates=0), row(1, **{name: 0.001}), 400_000)


def test_zero_switches_the_check_off_as_the_published_recipes_do() -> None:
    config = HealthConfig(min_target_std=0, min_prediction_std=0)
    check_health(config, row(9000, target_std=0.0, prediction_std=0.0), 400_000)


def test_many_skipped_updates_are_an_error() -> None:
    check_health(HealthConfig(max_skipped_in_a_row=3), row(5) | {"num_skipped_in_a_row": 2.0}, 10)
    with pytest.raises(DivergedError, match="last 3 updates until update 5 were not finite"):
        check_health(HealthConfig(max_skipped_in_a_row=3), row(5) | {"num_skipped_in_a_row": 3.0}, 10)


def test_half_of_a_short_run_is_many() -> None:
    for num_skipped, num_updates in ((2.0, 2), (2.0, 4), (9.0, 20), (49.0, 400_000)):
        check_health(HealthConfig(), row(4) | {"num_skipped_in_a_row": num_skipped}, num_updates)
    for num_skipped, num_updates in ((3.0, 4), (10.0, 20), (50.0, 400_000)):
        with pytest.raises(DivergedError):
            check_health(HealthConfig(), row(4) | {"num_skipped_in_a_row": num_skipped}, num_updates)


def test_few_tokens_are_an_error_soon() -> None:
    check_health(HealthConfig(), row(9000, code_perplexity=4.1), 400_000)
    check_health(HealthConfig(), row(200, code_perplexity=1.0), 400_000)  # not yet
    with pytest.raises(CollapseError, match=r"codebook has collapsed: at update 201 only 1\.0 tokens"):
        check_health(HealthConfig(), row(201, code_perplexity=1.0), 400_000)
    with pytest.raises(CollapseError, match="codebook"):
        check_health(HealthConfig(), row(6, code_perplexity=1.0), 10)
    check_health(HealthConfig(min_code_perplexity=0), row(9000, code_perplexity=1.0), 400_000)
