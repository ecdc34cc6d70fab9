from tests.sample.conftest import puppet, tiny  # noqa: F401
