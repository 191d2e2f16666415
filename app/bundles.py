"""`GET /bundles`: what is served, with model cards. `POST /admin/reload`: read the folders anew."""

from typing import Any
from urllib.parse import quote

from fastapi import APIRouter, HTTPException, Response
from pydantic import BaseModel, Field

from app.library import Library
from app.schemas import ANY_PROBLEM, BundleIdentity, problem_responses
from model.reconstructor import Reconstructor

MARKDOWN = "text/markdown; charset=utf-8"


class BundleBody(BundleIdentity):
    """One bundle that is served: what the field `bundle` of a request may name."""

    is_default: bool = Field(description="Whether it is used where a request names none.")
    provider: str = Field(description="ONNX Runtime's execution provider.", examples=["CPUExecutionProvider"])
    image_size: int = Field(description="Side of the network's input, in pixels.", examples=[128])
    camera: str = Field(description="The camera it was trained for.", examples=["pinhole"])
    licence: str = Field(description="Of the weights.", examples=["Apache-2.0"])
    attribution: list[str] = Field(description="Who is to be named for the data it learned from.")
    files: dict[str, str] = Field(description="File name and its SHA-256.")
    metrics: dict[str, Any] = Field(description="What the evaluation found, as the manifest has it.")
    card_url: str | None = Field(description="Address of the model card.", examples=["/bundles/default/card"])


class BundleChange(BaseModel):
    """What a reload did to one name."""

    name: str = Field(examples=["default"])
    old_sha256: str | None = Field(description="Digest of what was served; null for a bundle that is new.")
    new_sha256: str | None = Field(description="Digest of what is served now; null for a bundle that is gone.")


class ReloadBody(BaseModel):
    """The bundles were read anew."""

    changes: list[BundleChange] = Field(description="By name; bundles that stayed as they were are not listed.")


def router(library: Library) -> APIRouter:
    """The routes, bound to the bundles they tell of."""
    routes = APIRouter(tags=["bundles"])

    def body(reconstructor: Reconstructor, *, is_default: bool) -> BundleBody:
        bundle, manifest = reconstructor.bundle, reconstructor.bundle.manifest
        return BundleBody(
            name=bundle.name,
            version=bundle.version,
            sha256=bundle.sha256,
            is_default=is_default,
            provider=reconstructor.provider,
            image_size=manifest.image_size,
            camera=manifest.camera,
            licence=manifest.licence,
            attribution=list(manifest.attribution),
            files=manifest.files,
            metrics=manifest.metrics,
            card_url=f"/bundles/{quote(bundle.name, safe='')}/card" if library.card(bundle.name) is not None else None,
        )

    @routes.get("/bundles", summary="The bundles that are served", responses=problem_responses(401, 421, 500, 503))
    async def bundles() -> list[BundleBody]:
        library.select()  # raises while there are none
        return [body(reconstructor, is_default=index == 0) for index, reconstructor in enumerate(library.bundles())]

    @routes.get("/bundles/{name}", summary="One of them", responses={**problem_responses(401, 404, 421, 500, 503), **ANY_PROBLEM})
    async def bundle(name: str) -> BundleBody:
        for entry in await bundles():
            if entry.name == name:
                return entry
        raise HTTPException(404)

    @routes.get(
        "/bundles/{name}/card",
        summary="Its model card",
        response_class=Response,
        responses={
            200: {"description": "Markdown.", "content": {"text/markdown": {"schema": {"type": "string"}}}},
            **problem_responses(401, 404, 421, 500),
            **ANY_PROBLEM,
        },
    )
    async def card(name: str) -> Response:
        text = library.card(name)
        if text is None:
            raise HTTPException(404)
        return Response(text, media_type=MARKDOWN)

    @routes.post("/admin/reload", summary="Read all bundles anew", responses=problem_responses(401, 421, 500, 503))
    def reload() -> ReloadBody:  # no coroutine: it blocks, and so runs in a thread
        return ReloadBody(changes=[BundleChange(**vars(change)) for change in library.reload()])

    return routes
