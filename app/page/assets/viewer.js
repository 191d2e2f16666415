// Shows a mesh in WebGL2: drag to turn, wheel or pinch to zoom, shift-drag or two fingers to move, keys for all of it.

const FIELD_OF_VIEW = (28 * Math.PI) / 180;
const UPRIGHT = Math.PI / 2 - 1e-3; // the steepest pitch: beyond it, up and down would change places
const THEMES = {
  light: { mesh: [0.6, 0.64, 0.67], line: [0.25, 0.32, 0.36], inferred: [0.84, 0.55, 0.34] },
  dark: { mesh: [0.66, 0.7, 0.73], line: [0.5, 0.58, 0.62], inferred: [0.84, 0.56, 0.36] },
};

const MESH_VERTEX = `#version 300 es
uniform mat4 camera;
layout(location = 0) in vec3 position;
layout(location = 1) in vec3 normal;
layout(location = 2) in float observed;
out vec3 at, across;
out float known;
void main() {
  at = position;
  across = normal;
  known = observed;
  gl_Position = camera * vec4(position, 1.0);
}`;

// Light from the sky, and a lamp that stands behind the viewer's left shoulder and moves along.
const MESH_FRAGMENT = `#version 300 es
precision highp float;
uniform vec3 eye, lamp, colour, inferred;
in vec3 at, across;
in float known;
out vec4 fragment;
void main() {
  vec3 n = normalize(across), toEye = normalize(eye - at);
  if (!gl_FrontFacing) n = -n;
  float sky = 0.5 + 0.5 * n.y;
  float diffuse = max(dot(n, lamp), 0.0);
  float gloss = pow(max(dot(n, normalize(lamp + toEye)), 0.0), 40.0);
  float edge = pow(1.0 - max(dot(n, toEye), 0.0), 3.0);
  vec3 lit = mix(inferred, colour, known) * (mix(0.22, 0.5, sky) + 0.72 * diffuse) + 0.16 * gloss + 0.1 * edge * sky;
  fragment = vec4(lit, 1.0);
}`;

const GRID_VERTEX = `#version 300 es
uniform mat4 camera;
uniform vec3 middle;
uniform float reach;
out vec2 at;
void main() {
  at = vec2(gl_VertexID & 1, gl_VertexID >> 1) * 2.0 - 1.0;
  gl_Position = camera * vec4(middle + reach * vec3(at.x, 0.0, at.y), 1.0);
}`;

const GRID_FRAGMENT = `#version 300 es
precision highp float;
uniform vec3 colour;
uniform float cells; // from the middle to the rim
in vec2 at;
out vec4 fragment;
void main() {
  vec2 cell = at * cells, width = fwidth(cell);
  vec2 away = abs(fract(cell - 0.5) - 0.5) / width;
  vec2 lines = (1.0 - min(away, 1.0)) * (1.0 - smoothstep(0.2, 0.8, width)); // too dense to tell apart: none
  float strength = 0.32 * max(lines.x, lines.y) * (1.0 - smoothstep(0.35, 1.0, length(at)));
  fragment = vec4(colour, 1.0) * strength;
}`;

export class Viewer {
  /** Throws an Error where the browser has no WebGL2. */
  constructor(canvas) {
    this.canvas = canvas;
    this.gl = canvas.getContext("webgl2", { antialias: true, alpha: true });
    if (!this.gl) throw new Error("WebGL2: expected, found none");
    this.scene = null;
    this.pose = { yaw: 0, pitch: 0, distance: 1, target: [0, 0, 0] };
    this.frame = 0;
    this.motion = 0;
    this.dark = matchMedia("(prefers-color-scheme: dark)");
    this.calm = matchMedia("(prefers-reduced-motion: reduce)");
    this.dark.addEventListener("change", () => this.draw());
    new ResizeObserver(() => this.draw()).observe(canvas);
    canvas.addEventListener("webglcontextlost", (event) => event.preventDefault());
    canvas.addEventListener("webglcontextrestored", () => {
      this.prepare();
      if (this.mesh) this.upload();
      this.draw();
    });
    this.prepare();
    this.listen();
  }

  /**
   * Shows what `readGlb` returned, first as the photo saw it; returns the length of a grid cell, in the mesh's unit.
   * An upright mesh was seen from `facts.elevation` degrees above; where `observed` is 0, another colour says so.
   */
  show(mesh) {
    this.mesh = mesh;
    const elevation = ((mesh.facts.elevation ?? 0) * Math.PI) / 180;
    this.poses = { // yaw, pitch
      photo: [0, Math.max(-UPRIGHT, Math.min(UPRIGHT, elevation))],
      side: [Math.PI / 2, 0],
      top: [0, UPRIGHT],
      start: [0.5, Math.max(0.25, Math.min(1, elevation))],
    };
    const { low, high } = mesh;
    const middle = low.map((value, axis) => (value + high[axis]) / 2);
    const radius = Math.hypot(...low.map((value, axis) => high[axis] - value)) / 2 || 1;
    const cell = roundLength(radius / 4);
    this.scene = { middle, radius, floor: [middle[0], low[1], middle[2]], cell };
    this.upload();
    this.look("photo", { smooth: false });
    this.look("start");
    return cell;
  }

  /** Turn to one of the poses, with the whole mesh in sight. */
  look(name, { smooth = true } = {}) {
    if (!this.scene) return;
    const [yaw, pitch] = this.poses[name];
    this.go({ yaw, pitch, distance: this.fitting(), target: [...this.scene.middle] }, smooth);
  }

  // ---- camera

  fitting() {
    const { clientWidth: width, clientHeight: height } = this.canvas;
    const half = FIELD_OF_VIEW / 2;
    const narrow = width < height ? Math.atan(Math.tan(half) * (width / height)) : half;
    return (1.01 * this.scene.radius) / Math.sin(narrow);
  }

  go(goal, smooth) {
    cancelAnimationFrame(this.motion);
    if (!smooth || this.calm.matches) {
      this.pose = goal;
      this.draw();
      return;
    }
    const from = this.pose, begin = performance.now();
    const turn = Math.atan2(Math.sin(goal.yaw - from.yaw), Math.cos(goal.yaw - from.yaw)); // the short way round
    const step = (now) => {
      const share = Math.min(1, Math.max(0, (now - begin) / 700)), eased = 1 - (1 - share) ** 3;
      const between = (a, b) => a + (b - a) * eased;
      this.pose = {
        yaw: from.yaw + turn * eased,
        pitch: between(from.pitch, goal.pitch),
        distance: between(from.distance, goal.distance),
        target: from.target.map((value, axis) => between(value, goal.target[axis])),
      };
      this.paint();
      if (share < 1) this.motion = requestAnimationFrame(step);
    };
    this.motion = requestAnimationFrame(step);
  }

  change(edit) {
    if (!this.scene) return;
    cancelAnimationFrame(this.motion);
    edit(this.pose);
    this.draw();
  }

  turn(right, up) {
    this.change((pose) => {
      pose.yaw += right;
      pose.pitch = Math.max(-UPRIGHT, Math.min(UPRIGHT, pose.pitch + up));
    });
  }

  zoom(factor) {
    this.change((pose) => {
      pose.distance = Math.max(0.3 * this.scene.radius, Math.min(30 * this.scene.radius, pose.distance * factor));
    });
  }

  /** By pixels of the canvas, so that the mesh stays under the finger. */
  move(x, y) {
    this.change((pose) => {
      const { right, up } = axesOf(pose);
      const perPixel = (2 * pose.distance * Math.tan(FIELD_OF_VIEW / 2)) / this.canvas.clientHeight;
      pose.target = pose.target.map((value, axis) => value - perPixel * (x * right[axis] - y * up[axis]));
    });
  }

  // ---- hands

  listen() {
    const { canvas } = this;
    const pointers = new Map(); // id -> [x, y]
    const spread = () => {
      const [[ax, ay], [bx, by]] = pointers.values();
      return { length: Math.hypot(ax - bx, ay - by) || 1, x: (ax + bx) / 2, y: (ay + by) / 2 };
    };
    canvas.addEventListener("pointerdown", (event) => {
      canvas.setPointerCapture(event.pointerId);
      pointers.set(event.pointerId, [event.clientX, event.clientY]);
    });
    canvas.addEventListener("pointermove", (event) => {
      const last = pointers.get(event.pointerId);
      if (!last || pointers.size > 2) return;
      const before = pointers.size === 2 ? spread() : null;
      pointers.set(event.pointerId, [event.clientX, event.clientY]);
      const [x, y] = [event.clientX - last[0], event.clientY - last[1]];
      if (before) {
        const now = spread();
        this.zoom(before.length / now.length);
        this.move(now.x - before.x, now.y - before.y);
      } else if (event.shiftKey || event.buttons & 6) {
        this.move(x, y);
      } else {
        this.turn(-x * 0.008, y * 0.008);
      }
    });
    for (const end of ["pointerup", "pointercancel"]) {
      canvas.addEventListener(end, (event) => pointers.delete(event.pointerId));
    }
    canvas.addEventListener("contextmenu", (event) => event.preventDefault());
    canvas.addEventListener("dblclick", () => this.look("start"));
    canvas.addEventListener("wheel", (event) => {
      event.preventDefault();
      const pixels = event.deltaY * [1, 30, 300][event.deltaMode];
      this.zoom(Math.exp(Math.max(-200, Math.min(200, pixels)) * 0.0015));
    }, { passive: false });
    const keys = {
      ArrowLeft: () => this.turn(-0.15, 0),
      ArrowRight: () => this.turn(0.15, 0),
      ArrowUp: () => this.turn(0, 0.15),
      ArrowDown: () => this.turn(0, -0.15),
      "+": () => this.zoom(1 / 1.15),
      "=": () => this.zoom(1 / 1.15),
      "-": () => this.zoom(1.15),
      Home: () => this.look("start"),
    };
    canvas.addEventListener("keydown", (event) => {
      if (!keys[event.key] || event.ctrlKey || event.metaKey || event.altKey) return;
      event.preventDefault();
      keys[event.key]();
    });
  }

  // ---- drawing

  prepare() {
    const { gl } = this;
    this.meshProgram = programOf(gl, MESH_VERTEX, MESH_FRAGMENT);
    this.gridProgram = programOf(gl, GRID_VERTEX, GRID_FRAGMENT);
    this.vertexArray = gl.createVertexArray();
    this.noArrays = gl.createVertexArray();
    this.buffers = [0, 1, 2, 3].map(() => gl.createBuffer());
    gl.enable(gl.DEPTH_TEST);
    gl.blendFunc(gl.ONE, gl.ONE_MINUS_SRC_ALPHA); // colours come multiplied by their alpha
  }

  upload() {
    const { gl, mesh } = this;
    gl.bindVertexArray(this.vertexArray);
    const { observed = new Float32Array(mesh.positions.length / 3).fill(1) } = mesh.vertexAttributes;
    [[mesh.positions, 3], [mesh.normals, 3], [observed, 1]].forEach(([values, width], location) => {
      gl.bindBuffer(gl.ARRAY_BUFFER, this.buffers[location]);
      gl.bufferData(gl.ARRAY_BUFFER, values, gl.STATIC_DRAW);
      gl.enableVertexAttribArray(location);
      gl.vertexAttribPointer(location, width, gl.FLOAT, false, 0, 0);
    });
    gl.bindBuffer(gl.ELEMENT_ARRAY_BUFFER, this.buffers[3]);
    gl.bufferData(gl.ELEMENT_ARRAY_BUFFER, mesh.indices, gl.STATIC_DRAW);
  }

  /** Paint in the next frame; several calls are one. */
  draw() {
    this.frame ||= requestAnimationFrame(() => {
      this.frame = 0;
      this.paint();
    });
  }

  paint() {
    const { gl, canvas, scene, pose } = this;
    const ratio = Math.min(devicePixelRatio, 2);
    const width = Math.round(canvas.clientWidth * ratio), height = Math.round(canvas.clientHeight * ratio);
    if (!scene || !width || !height) return;
    if (canvas.width !== width || canvas.height !== height) Object.assign(canvas, { width, height });
    gl.viewport(0, 0, width, height);
    gl.clearColor(0, 0, 0, 0);
    gl.clear(gl.COLOR_BUFFER_BIT | gl.DEPTH_BUFFER_BIT);

    const { right, up, back } = axesOf(pose);
    const eye = pose.target.map((value, axis) => value + pose.distance * back[axis]);
    const lamp = unit(back.map((value, axis) => value - 0.55 * right[axis] + 0.75 * up[axis]));
    const camera = cameraOf(eye, right, up, back, width / height, pose.distance, scene.radius);
    const theme = this.dark.matches ? THEMES.dark : THEMES.light;

    gl.disable(gl.BLEND);
    gl.useProgram(this.meshProgram.program);
    this.meshProgram.set({ camera, eye, lamp, colour: theme.mesh, inferred: theme.inferred });
    gl.bindVertexArray(this.vertexArray);
    const kind = this.mesh.indices.BYTES_PER_ELEMENT === 2 ? gl.UNSIGNED_SHORT : gl.UNSIGNED_INT;
    gl.drawElements(gl.TRIANGLES, this.mesh.indices.length, kind, 0);

    const cells = Math.ceil((3 * scene.radius) / scene.cell);
    gl.enable(gl.BLEND);
    gl.useProgram(this.gridProgram.program);
    this.gridProgram.set({ camera, middle: scene.floor, reach: cells * scene.cell, cells, colour: theme.line });
    gl.bindVertexArray(this.noArrays);
    gl.drawArrays(gl.TRIANGLE_STRIP, 0, 4);
  }
}

/** The largest of 1, 2, 5 times a power of ten that is no more than `length`. */
export function roundLength(length) {
  const power = 10 ** Math.floor(Math.log10(length));
  return power * ([5, 2].find((step) => step * power <= length * (1 + 1e-9)) ?? 1);
}

function unit(vector) {
  const length = Math.hypot(...vector);
  return vector.map((value) => value / length);
}

/** The camera's axes; at yaw 0 and pitch 0 they are the view frame's: x right, y up, z towards the viewer. */
function axesOf({ yaw, pitch }) {
  const [s, c, t, d] = [Math.sin(yaw), Math.cos(yaw), Math.sin(pitch), Math.cos(pitch)];
  return { right: [c, 0, -s], up: [-s * t, d, -c * t], back: [s * d, t, c * d] };
}

/** World -> clip space, a 4 x 4 matrix by columns. */
function cameraOf(eye, right, up, back, aspect, distance, radius) {
  const focal = 1 / Math.tan(FIELD_OF_VIEW / 2);
  const near = Math.max(distance - 4 * radius, 0.02 * distance), far = distance + 8 * radius;
  const [a, b] = [(near + far) / (near - far), (2 * near * far) / (near - far)];
  const dot = (axis) => axis[0] * eye[0] + axis[1] * eye[1] + axis[2] * eye[2];
  const rows = [
    [...right, -dot(right)].map((value) => (value * focal) / aspect),
    [...up, -dot(up)].map((value) => value * focal),
    [...back.map((value) => value * a), -dot(back) * a + b],
    [...back.map((value) => -value), dot(back)],
  ];
  return new Float32Array(rows[0].flatMap((_, column) => rows.map((row) => row[column])));
}

/** A linked program, and `set` for its uniforms by name. */
function programOf(gl, vertexSource, fragmentSource) {
  const program = gl.createProgram();
  for (const [kind, source] of [[gl.VERTEX_SHADER, vertexSource], [gl.FRAGMENT_SHADER, fragmentSource]]) {
    const shader = gl.createShader(kind);
    gl.shaderSource(shader, source);
    gl.compileShader(shader);
    gl.attachShader(program, shader);
  }
  gl.linkProgram(program);
  if (!gl.getProgramParameter(program, gl.LINK_STATUS) && !gl.isContextLost()) throw new Error(gl.getProgramInfoLog(program));
  const set = (uniforms) => {
    for (const [name, value] of Object.entries(uniforms)) {
      const place = gl.getUniformLocation(program, name);
      if (value.length === 16) gl.uniformMatrix4fv(place, false, value);
      else if (value.length === 3) gl.uniform3fv(place, value);
      else gl.uniform1f(place, value);
    }
  };
  return { program, set };
}
