"""Every stage of every system over eight simulated devices, in every mesh: minutes of compilation."""

import pytest

from tests.training.stages import STAGES
from tests.training.test_stages import check

pytestmark = pytest.mark.full_size


@pytest.mark.parametrize("name", STAGES)
def test_a_step_over_devices_is_that_of_one(name, tmp_path):
    check("data=8 fsdp=8 data=4,tensor=2 data=2,fsdp=2,tensor=2 data=2,context=4", name, folder=tmp_path)
