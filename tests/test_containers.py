"""The container files, read without an engine; docker/smoke.sh tries them with one."""

import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from app.cli import ANSWER_SECONDS
from app.jobs.runner import Pace
from app.settings import Settings
from app.telemetry import Telemetry
from app.tracing import CLOSE_SECONDS
from tests.programs import program

ROOT = Path(__file__).resolve().parents[1]
DOCKERFILE = (ROOT / "docker" / "Dockerfile").read_text()
PROMETHEUS = ROOT / "docker" / "prometheus"


class ComposeLoader(yaml.SafeLoader):
    """YAML with compose's `!reset`, which drops what an earlier file said."""


RESET = object()
ComposeLoader.add_constructor("!reset", lambda loader, node: RESET)


def compose(name: str) -> Any:
    return yaml.load((ROOT / name).read_text(), ComposeLoader)  # a SafeLoader's child


GPU = compose("docker-compose.yml")
CPU = compose("docker-compose.cpu.yml")


def seconds(duration: str) -> int:
    number, unit = re.fullmatch(r"(\d+)(s|m)", duration).groups()  # type: ignore[union-attr]
    return int(number) * {"s": 1, "m": 60}[unit]


def instructions(name: str) -> list[str]:
    return re.findall(rf"^{name}\s+(.+)$", DOCKERFILE, re.MULTILINE)


def test_the_image_needs_no_frontend_from_a_registry() -> None:
    assert not re.search(r"^#\s*syntax\s*=", DOCKERFILE, re.MULTILINE | re.IGNORECASE)


def test_base_images_carry_a_tag_and_no_digest() -> None:
    images = [*instructions("FROM"), GPU["services"]["prometheus"]["image"]]
    assert len(images) == 2
    for image in images:
        assert re.fullmatch(r"[a-z/-]+:[\w.-]+", image), image
        assert not image.endswith(":latest")


def test_requirements_are_installed_before_the_sources_come_in() -> None:
    assert DOCKERFILE.index("--requirement requirements/serving.txt") < DOCKERFILE.index("--mount=type=bind,target=/src")
    assert not [line for line in instructions("COPY") if re.search(r"\b(app|model|training)\b", line)]


def test_the_image_runs_as_nobody_in_particular_and_reports_no_usage() -> None:
    assert instructions("USER") == ["10001"]
    assert "ORT_DISABLE_TELEMETRY=1" in DOCKERFILE
    assert "/health/ready" in DOCKERFILE[DOCKERFILE.index("HEALTHCHECK") :]


def test_the_image_sets_only_settings_that_exist() -> None:
    set_names = re.findall(r"MONOTWIN_(\w+)=", DOCKERFILE)
    assert "DATA_DIR" in set_names
    assert {name.lower() for name in set_names} <= set(Settings.model_fields)
    assert instructions("VOLUME") == re.findall(r"MONOTWIN_DATA_DIR=(\S+)", DOCKERFILE)


def test_the_build_context_holds_what_the_image_needs_and_no_more() -> None:
    lines = [line for line in (ROOT / ".dockerignore").read_text().splitlines() if line and not line.startswith("#")]
    assert lines[0] == "*"
    admitted = {line[1:] for line in lines if line.startswith("!")}
    assert admitted == {"pyproject.toml", "requirements", "README.md", "LICENSE", "app", "model"}


def test_the_compose_file_reserves_a_gpu_and_demands_it() -> None:
    service = GPU["services"]["monotwin"]
    assert service["build"]["args"] == {"EXTRAS": "gpu,postgres,otel"}
    assert service["deploy"]["resources"]["reservations"]["devices"] == [
        {"driver": "nvidia", "count": "${N_GPUS:-1}", "capabilities": ["gpu"]}
    ]
    assert service["environment"]["MONOTWIN_DEVICE"] == "cuda"


def test_the_override_drops_the_gpu_and_takes_the_other_wheel() -> None:
    service = CPU["services"]["monotwin"]
    assert service["build"]["args"] == {"EXTRAS": "cpu,postgres,otel"}
    assert service["deploy"]["resources"]["reservations"]["devices"] is RESET
    assert service["environment"]["MONOTWIN_DEVICE"] == "cpu"
    assert service["image"] != GPU["services"]["monotwin"]["image"]


@pytest.mark.parametrize("name", ["monotwin", "prometheus"])
def test_each_service_is_confined(name: str) -> None:
    service = GPU["services"][name]
    assert service["read_only"]
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert set(service["deploy"]["resources"]["limits"]) == {"memory", "pids"}
    assert all(port.startswith("${BIND:-127.0.0.1}:") for port in service["ports"])


def test_docker_waits_longer_than_the_service_does_for_its_last_requests() -> None:
    longest = Settings().drain_seconds + ANSWER_SECONDS + Pace().stop + CLOSE_SECONDS
    assert seconds(GPU["services"]["monotwin"]["stop_grace_period"]) > longest


def test_no_image_has_the_lgpl_libraries_of_heic_unless_it_is_asked_for() -> None:
    built = [*instructions("ARG"), *(f"EXTRAS={file['services']['monotwin']['build']['args']['EXTRAS']}" for file in (GPU, CPU))]
    assert built == ["EXTRAS=cpu,postgres,otel", "EXTRAS=gpu,postgres,otel", "EXTRAS=cpu,postgres,otel"]
    assert 'of_extra.py "$EXTRAS"' in DOCKERFILE


def test_threads_share_few_arenas() -> None:
    assert re.findall(r"\bMALLOC_ARENA_MAX=(\d+)", DOCKERFILE) == ["2"]


def test_prometheus_starts_after_the_service_and_scrapes_it() -> None:
    assert GPU["services"]["prometheus"]["depends_on"] == {"monotwin": {"condition": "service_healthy"}}
    configuration = yaml.safe_load((PROMETHEUS / "prometheus.yml").read_text())
    (job,) = configuration["scrape_configs"]
    (port,) = re.findall(r"MONOTWIN_PORT=(\d+)", DOCKERFILE)
    assert job["static_configs"] == [{"targets": [f"monotwin:{port}"]}]
    assert [name for name in configuration["rule_files"] if not (PROMETHEUS / name).is_file()] == []


@pytest.mark.parametrize("command", ["check config prometheus.yml", "test rules alerts.test.yml"])
def test_prometheus_finds_its_files_good_and_each_alert_goes_off_when_it_should(command: str) -> None:
    done = subprocess.run([program("promtool"), *command.split()], cwd=PROMETHEUS, capture_output=True, check=False, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_alert_is_tried() -> None:
    groups = yaml.safe_load((PROMETHEUS / "alerts.yml").read_text())["groups"]
    tests = yaml.safe_load((PROMETHEUS / "alerts.test.yml").read_text())["tests"]
    expected = [case for test in tests for case in test["alert_rule_test"]]
    names = {rule["alert"] for group in groups for rule in group["rules"]}
    assert {case["alertname"] for case in expected if case["exp_alerts"]} == names
    assert {case["alertname"] for case in expected if not case["exp_alerts"]} == names


def test_alerts_ask_for_metrics_that_the_service_exports() -> None:
    exported = {sample.name for metric in Telemetry((), lambda: 0).registry.collect() for sample in metric.samples}
    groups = yaml.safe_load((PROMETHEUS / "alerts.yml").read_text())["groups"]
    rules = [rule for group in groups for rule in group["rules"]]
    asked = {name for rule in rules for name in re.findall(r"monotwin_\w+", rule["expr"])}
    assert asked
    assert asked <= exported


def test_the_alert_compares_with_a_bound_of_a_bucket() -> None:
    """Between two bounds the quantile is an interpolation, so that an alert there would depend on luck."""
    (rule,) = yaml.safe_load((PROMETHEUS / "alerts.yml").read_text())["groups"][0]["rules"]
    limit = float(rule["expr"].rpartition(">")[2])
    buckets = [
        float(sample.labels["le"])
        for metric in Telemetry((), lambda: 0).registry.collect()
        for sample in metric.samples
        if sample.name == "monotwin_request_seconds_bucket"
    ]
    assert limit in buckets
