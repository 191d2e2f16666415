"""Writes a triangle mesh as STEP (ISO 10303-21, AP214): one solid with plane facets, which every CAD system reads."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt

_HEADER = """ISO-10303-21;
HEADER;
FILE_DESCRIPTION((''),'2;1');
FILE_NAME('{name}','',(''),(''),'Monotwin','Monotwin','');
FILE_SCHEMA(('AUTOMOTIVE_DESIGN {{ 1 0 10303 214 1 1 1 1 }}'));
ENDSEC;
DATA;
#1=APPLICATION_CONTEXT('automotive design');
#2=APPLICATION_PROTOCOL_DEFINITION('international standard','automotive_design',2000,#1);
#3=PRODUCT_CONTEXT('',#1,'mechanical');
#4=PRODUCT('{name}','{name}','',(#3));
#5=PRODUCT_DEFINITION_FORMATION('','',#4);
#6=PRODUCT_DEFINITION_CONTEXT('part definition',#1,'design');
#7=PRODUCT_DEFINITION('','',#5,#6);
#8=PRODUCT_DEFINITION_SHAPE('','',#7);
#9=(LENGTH_UNIT()NAMED_UNIT(*)SI_UNIT(.MILLI.,.METRE.));
#10=(NAMED_UNIT(*)PLANE_ANGLE_UNIT()SI_UNIT($,.RADIAN.));
#11=(NAMED_UNIT(*)SI_UNIT($,.STERADIAN.)SOLID_ANGLE_UNIT());
#12=UNCERTAINTY_MEASURE_WITH_UNIT(LENGTH_MEASURE(1.E-5),#9,'distance_accuracy_value','');
#13=(GEOMETRIC_REPRESENTATION_CONTEXT(3)GLOBAL_UNCERTAINTY_ASSIGNED_CONTEXT((#12))GLOBAL_UNIT_ASSIGNED_CONTEXT((#9,#10,#11))REPRESENTATION_CONTEXT('',''));
#14=SHAPE_DEFINITION_REPRESENTATION(#8,#15);
#15=FACETED_BREP_SHAPE_REPRESENTATION('',(#16),#13);
#16=FACETED_BREP('{name}',#17);
"""
_FIRST = 18  # entity number after the fixed ones


def write_step(path: Path, vertices: npt.NDArray[np.floating], faces: npt.NDArray[np.integer]) -> None:
    """Writes a closed, outward-wound mesh: vertices (n, 3) in millimetres, faces (m, 3)."""
    corners = vertices[faces].astype(np.float64)
    normals = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    lengths = np.linalg.norm(normals, axis=1)
    kept = lengths > 0
    faces, normals = faces[kept], normals[kept] / lengths[kept, None]
    along = corners[kept, 1] - corners[kept, 0]
    along /= np.linalg.norm(along, axis=1, keepdims=True)

    lines = [_point(_FIRST + n, vertex) for n, vertex in enumerate(vertices)]
    shell = []
    first = _FIRST + len(vertices)
    for n, face in enumerate(faces):
        loop, bound, normal, axis, placement, plane, surface = range(first + 7 * n, first + 7 * n + 7)
        points = ",".join(f"#{_FIRST + vertex}" for vertex in face)
        lines += (
            f"#{loop}=POLY_LOOP('',({points}));",
            f"#{bound}=FACE_OUTER_BOUND('',#{loop},.T.);",
            _direction(normal, normals[n]),
            _direction(axis, along[n]),
            f"#{placement}=AXIS2_PLACEMENT_3D('',#{_FIRST + face[0]},#{normal},#{axis});",
            f"#{plane}=PLANE('',#{placement});",
            f"#{surface}=FACE_SURFACE('',(#{bound}),#{plane},.T.);",
        )
        shell.append(f"#{surface}")
    lines.append(f"#17=CLOSED_SHELL('',({','.join(shell)}));")
    path.write_text(_HEADER.format(name=path.stem) + "\n".join(lines) + "\nENDSEC;\nEND-ISO-10303-21;\n", encoding="ascii")


def _point(number: int, xyz: npt.NDArray[np.floating]) -> str:
    return f"#{number}=CARTESIAN_POINT('',({_reals(xyz)}));"


def _direction(number: int, xyz: npt.NDArray[np.floating]) -> str:
    return f"#{number}=DIRECTION('',({_reals(xyz)}));"


def _reals(xyz: npt.NDArray[np.floating]) -> str:
    """Part 21 wants a point in every real, and E before an exponent."""
    return ",".join(np.format_float_scientific(x, precision=9, trim="0", exp_digits=1).replace("e", "E") for x in xyz)
