"""What of the Dockerfile language is read, and that the rest is refused by line."""

import pytest

from e2e.cluster import paths
from e2e.images import build, dockerfile
from e2e.images.dockerfile import Copy, DockerfileError, From, Run, Setting, Stage

TEXT = """\
# A comment.
FROM debian:trixie-slim AS build
RUN apt-get update \\
 # A comment in the middle of an instruction.
 && apt-get install --yes python3

COPY one.txt two/ /build/
FROM scratch
COPY --from=build /rootfs/ /
ENV A=1 B="two words"
USER 65532:65532
ENTRYPOINT ["ringfence", "run"]
"""


def test_stages_and_instructions() -> None:
    assert dockerfile.parse(TEXT) == (
        Stage(
            "build",
            From("debian:trixie-slim"),
            (Run("apt-get update && apt-get install --yes python3"), Copy(("one.txt", "two/"), "/build/", None)),
        ),
        Stage(
            None,
            From("scratch"),
            (
                Copy(("/rootfs/",), "/", "build"),
                Setting("ENV", ("A=1", "B=two words")),
                Setting("USER", ("65532:65532",)),
                Setting("ENTRYPOINT", ("ringfence", "run")),
            ),
        ),
    )


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "line 1: there is no FROM"),
        ("RUN true", "line 1: RUN before the first FROM"),
        ("FROM a\n\nADD x /y/", "line 3: ADD is not supported"),
        ("FROM a\nARG x", "line 2: ARG is not supported"),
        ("FROM --platform=linux/amd64 a", "line 1: FROM takes"),
        ('FROM a\nRUN ["true"]', "line 2: RUN takes a plain shell command"),
        ("FROM a\nRUN --mount=type=cache,target=/x true", "line 2: RUN takes a plain shell command"),
        ("FROM a\nCOPY --chown=1 x /y/", "line 2: COPY takes"),
        ("FROM a\nCOPY *.txt /y/", "line 2: COPY takes"),
        ("FROM a\nCOPY x", "line 2: COPY takes"),
        ("FROM a\nCOPY x y", "line 2: COPY's target must be a directory"),
        ("FROM a\nCOPY x /y", "line 2: COPY's target must be a directory"),
        ("FROM a\nENTRYPOINT ringfence", "line 2: ENTRYPOINT takes a JSON list"),
        ("FROM a\nENTRYPOINT [1]", "line 2: ENTRYPOINT takes a JSON list"),
        ("FROM a\nENV A 1", "line 2: ENV takes NAME=value"),
        ("FROM a\nENV A=$B", "line 2: ENV takes NAME=value"),
        ("FROM a\nRUN one \\\n  two \\", "line 2: the file ends in the middle"),
    ],
)
def test_the_rest_is_refused(text: str, message: str) -> None:
    with pytest.raises(DockerfileError) as caught:
        dockerfile.parse(text)
    assert message in str(caught.value)


@pytest.mark.parametrize("image", build.IMAGES, ids=lambda image: image.name)
def test_our_dockerfiles_are_read(image: build.Image) -> None:
    stages = dockerfile.parse((paths.REPOSITORY / image.dockerfile).read_text())
    last = stages[-1]
    assert last.base == From("scratch")
    assert not [each for each in last.instructions if isinstance(each, Run)]
    assert Setting("USER", ("65532:65532",)) in last.instructions
