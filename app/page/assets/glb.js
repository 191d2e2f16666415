// Reads what model/formats/glb.py writes: one mesh of triangles, float32 positions and normals, 16- or 32-bit indices.

const MAGIC = 0x46546c67, JSON_CHUNK = 0x4e4f534a, BINARY_CHUNK = 0x004e4942;
const ARRAYS = { 5123: Uint16Array, 5125: Uint32Array, 5126: Float32Array };
const WIDTHS = { SCALAR: 1, VEC3: 3 };

/**
 * ArrayBuffer -> { positions (3n), normals (3n), indices (3m), low [x, y, z], high [x, y, z], facts: asset.extras,
 * vertexAttributes: { name: (n) } of those that glTF calls `_NAME` }.
 * The arrays look into the buffer. Throws an Error that says what was expected.
 */
export function readGlb(buffer) {
  const bytes = new DataView(buffer);
  const word = (offset) => bytes.getUint32(offset, true);
  expect(buffer.byteLength >= 20 && word(0) === MAGIC && word(4) === 2, "a binary glTF 2 file");
  expect(word(8) === buffer.byteLength, `${word(8)} bytes, found ${buffer.byteLength}`);

  const chunks = new Map(); // kind -> [offset, length]
  for (let offset = 12; offset < buffer.byteLength; offset += 8 + word(offset)) {
    chunks.set(word(offset + 4), [offset + 8, word(offset)]);
  }
  expect(chunks.has(JSON_CHUNK) && chunks.has(BINARY_CHUNK), "a JSON and a binary chunk");
  const gltf = JSON.parse(new TextDecoder().decode(new Uint8Array(buffer, ...chunks.get(JSON_CHUNK))));
  const [start] = chunks.get(BINARY_CHUNK);

  const arrayOf = (index) => {
    const accessor = gltf.accessors[index], part = gltf.bufferViews[accessor.bufferView];
    const kind = ARRAYS[accessor.componentType], width = WIDTHS[accessor.type];
    expect(kind && width && !part.byteStride, `a packed array, found ${accessor.type} of ${accessor.componentType}`);
    return new kind(buffer, start + (part.byteOffset ?? 0) + (accessor.byteOffset ?? 0), accessor.count * width);
  };
  const { attributes, indices } = gltf.meshes[0].primitives[0];
  const { min: low, max: high } = gltf.accessors[attributes.POSITION];
  return {
    positions: arrayOf(attributes.POSITION),
    normals: arrayOf(attributes.NORMAL),
    indices: arrayOf(indices),
    low,
    high,
    facts: gltf.asset.extras ?? {},
    vertexAttributes: Object.fromEntries(
      Object.entries(attributes)
        .filter(([name]) => name.startsWith("_"))
        .map(([name, index]) => [name.slice(1).toLowerCase(), arrayOf(index)]),
    ),
  };
}

function expect(holds, what) {
  if (!holds) throw new Error(`GLB: expected ${what}`);
}
