import time

import pytest

from albatross.energy import EnergyMeter

# 3600 joules, a watt-hour.
WATT_HOUR = 3_600_000_000


class Zones:
    """A folder of counters, as Linux shows them."""

    def __init__(self, folder):
        self.folder = folder

    def show(self, zone, name, value, full=2**36):
        place = self.folder / f"intel-rapl:{zone}"
        place.mkdir(exist_ok=True)
        for file, content in (("name", name), ("energy_uj", value), ("max_energy_range_uj", full)):
            (place / file).write_text(f"{content}\n")


@pytest.fixture
def zones(tmp_path):
    return Zones(tmp_path)


def ticking(*values):
    return iter(values).__next__


def test_processors_and_their_memory_are_counted_once(zones):
    zones.show("0", "package-0", 5)
    zones.show("1", "package-1", 7)
    zones.show("0:0", "core", 0)
    zones.show("0:1", "dram", 0)
    zones.show("2", "psys", 0)
    meter = EnergyMeter(zones.folder)
    zones.show("0", "package-0", 5 + WATT_HOUR)
    zones.show("1", "package-1", 7 + 2 * WATT_HOUR)
    zones.show("0:0", "core", WATT_HOUR)
    zones.show("0:1", "dram", 4 * WATT_HOUR)
    zones.show("2", "psys", 16 * WATT_HOUR)
    assert meter.read() == pytest.approx(7)
    assert "RAPL" in meter.method


def test_a_counter_that_begins_again_loses_nothing(zones):
    zones.show("0", "package-0", 9 * WATT_HOUR, full=10 * WATT_HOUR)
    meter = EnergyMeter(zones.folder)
    zones.show("0", "package-0", 2 * WATT_HOUR, full=10 * WATT_HOUR)
    assert meter.read() == pytest.approx(3)


def test_readings_add_up(zones):
    zones.show("0", "package-0", 0)
    meter = EnergyMeter(zones.folder)
    for count in (1, 3, 3, 4):
        zones.show("0", "package-0", count * WATT_HOUR)
        assert meter.read() == meter.watt_hours == pytest.approx(count)


def test_without_counters_it_is_the_time_of_busy_cores(zones):
    meter = EnergyMeter(zones.folder, processor_time=ticking(100.0, 700.0))
    assert meter.read() == pytest.approx(2)
    assert meter.method == "estimated: 12 W for every busy core"


@pytest.mark.parametrize("missing", ["energy_uj", "max_energy_range_uj", "name"])
def test_a_counter_that_cannot_be_read_is_not_half_used(zones, missing):
    zones.show("0", "package-0", 0)
    zones.show("1", "package-1", 0)
    (zones.folder / "intel-rapl:1" / missing).unlink()
    meter = EnergyMeter(zones.folder, processor_time=ticking(0.0, 300.0))
    assert meter.method.startswith("estimated")
    assert meter.read() == pytest.approx(1)


def test_an_accelerator_is_added_by_its_power_over_time(zones):
    meter = EnergyMeter(
        zones.folder,
        accelerator_watts=ticking(100.0, 300.0, 300.0),
        clock=ticking(0.0, 3600.0, 7200.0),
        processor_time=lambda: 0.0,
    )
    assert meter.read() == pytest.approx(200)
    assert meter.read() == pytest.approx(500)
    assert "accelerator" in meter.method


def test_on_this_machine_work_takes_energy():
    meter = EnergyMeter()
    end = time.process_time() + 0.05
    while time.process_time() < end:
        pass
    assert 0 < meter.read() < 1
