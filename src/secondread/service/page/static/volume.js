// A volume in NiiVue, with the map over it; NiiVue and all data come from this service.

const STEPS = [0, 51, 102, 153, 204, 255];
// as films have it: more opaque where the map is higher
const HEAT = { R: [0, 66, 147, 221, 252, 252], G: [0, 10, 38, 81, 165, 255], B: [4, 104, 103, 58, 10, 164], A: STEPS, I: STEPS };
const PLANES = { axial: 0, coronal: 1, sagittal: 2, all: 3 }; // NiiVue's slice types
const AXIS = { axial: 2, coronal: 1, sagittal: 0, all: 2 };

export function hasWebgl() {
  const context = document.createElement("canvas").getContext("webgl2");
  context?.getExtension("WEBGL_lose_context")?.loseContext();
  return context !== null;
}

export class Volume {
  static async open(canvas, facts, address, onMove) {
    const nv = new window.niivue.Niivue({
      backColor: [0, 0, 0, 1], show3Dcrosshair: false, isResizeCanvas: true, dragAndDropEnabled: false, loadingText: "",
      crosshairColor: [0.36, 0.77, 0.73, 0.6], crosshairWidth: 0.3, crosshairWidthUnit: "percent", isRadiologicalConvention: true, multiplanarShowRender: 0,
    });
    await nv.attachToCanvas(canvas);
    nv.addColormap("heat", HEAT);
    const { center, width } = facts.window;
    const volumes = [{ url: `${address}/volume.nii.gz`, name: "volume.nii.gz", colormap: "gray", cal_min: center - width / 2, cal_max: center + width / 2 }];
    if (facts.map) {
      volumes.push({ url: `${address}/map.nii.gz`, name: "map.nii.gz", colormap: "heat", opacity: 0.5,
        cal_min: facts.map.low, cal_max: facts.map.high });
    }
    await nv.loadVolumes(volumes);
    return new Volume(nv, facts, onMove);
  }

  constructor(nv, facts, onMove) {
    Object.assign(this, { nv, facts, onMove, plane: "axial" });
    this.state = { ...facts.window, opacity: 0.5, inverted: false };
    nv.setSliceType(PLANES.axial);
    nv.onLocationChange = () => this.onMove();
    const h = facts.hottest; // along slices, rows, columns: superior, posterior, left
    if (h) this.goTo(1 - h[2], 1 - h[1], h[0]);
  }

  get count() { return this.nv.volumes[0].dimsRAS[AXIS[this.plane] + 1]; }
  get slice() {
    return Math.round(this.nv.scene.crosshairPos[AXIS[this.plane]] * this.count - 0.5);
  }
  set slice(number) {
    const position = [...this.nv.scene.crosshairPos];
    position[AXIS[this.plane]] = (Math.max(0, Math.min(this.count - 1, number)) + 0.5) / this.count;
    this.goTo(...position);
  }
  goTo(x, y, z) {
    this.nv.scene.crosshairPos = [x, y, z];
    this.nv.drawScene();
    this.onMove();
  }
  setPlane(plane) { this.plane = plane; this.nv.setSliceType(PLANES[plane]); this.onMove(); }
  window(center, width) {
    Object.assign(this.state, { center, width });
    const volume = this.nv.volumes[0];
    volume.cal_min = center - width / 2;
    volume.cal_max = center + width / 2;
    this.nv.updateGLVolume();
  }
  setOpacity(share) { this.state.opacity = share; if (this.nv.volumes[1]) this.nv.setOpacity(1, share); }
  invert() {
    this.state.inverted = !this.state.inverted;
    this.nv.volumes[0].colormapInvert = this.state.inverted;
    this.nv.updateGLVolume();
    return this.state.inverted;
  }
  zoom() {}
  move() {}
  reset() {
    if (this.state.inverted) this.invert();
    this.window(this.facts.window.center, this.facts.window.width);
  }
  wheel(event) { this.slice += event.deltaY < 0 ? 1 : -1; }
  arrow(x, y) { this.slice += x > 0 || y < 0 ? 1 : -1; }
}
