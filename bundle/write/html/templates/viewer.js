// Shows the CT and the mask inside this page with NiiVue, which lies in the page too. Nothing is loaded from elsewhere.
"use strict";

const AXES = { axial: 2, coronal: 1, sagittal: 0 };
const byId = (id) => document.getElementById(id);
const stage = byId("stage"), readout = byId("readout"), slider = byId("slice");
const choose = {
  volume: byId("choose-volume"), layout: byId("choose-layout"), window: byId("choose-window"), mask: byId("choose-mask"),
  zoom: byId("choose-zoom"),
};

function bytes(id) {
  const text = atob(byId(id).textContent.trim());
  const result = new Uint8Array(text.length);
  for (let i = 0; i < text.length; i++) result[i] = text.charCodeAt(i);
  return result;
}

async function unpacked(id) {
  const stream = new Blob([bytes(id)]).stream().pipeThrough(new DecompressionStream("gzip"));
  return new Response(stream).arrayBuffer();
}

async function importNiiVue() {
  const address = URL.createObjectURL(new Blob([await unpacked("niivue")], { type: "text/javascript" }));
  try {
    return await import(address);
  } finally {
    URL.revokeObjectURL(address);
  }
}

async function loadSurface(NVMesh, viewer) {
  if (!byId("surface").textContent) return null;
  const mesh = await NVMesh.readMesh(await unpacked("surface"), "surface.mz3", viewer.gl, 1, new Uint8Array([255, 176, 46, 255]));
  viewer.addMesh(mesh);
  return mesh;
}

async function start() {
  const { Niivue, NVImage, NVMesh } = await importNiiVue();
  const viewer = new Niivue({
    logLevel: "error",
    loadingText: "",
    backColor: [0, 0, 0, 1],
    fontColor: [0.75, 0.85, 0.95, 1],
    crosshairColor: [0.35, 0.7, 1, 0.75],
    crosshairWidthUnit: "mm",
    isRadiologicalConvention: true,
    sagittalNoseLeft: true,
    isOrientCube: false,
    isCornerOrientationText: true,  // NiiVue 0.65 places the others within the picture where it is padded
    multiplanarShowRender: 1,
    multiplanarLayout: 2,
    multiplanarPadPixels: 2,
    dragAndDropEnabled: false,
    scrollRequiresFocus: true,  // else nobody gets past the viewer with the wheel
    show3Dcrosshair: false,
    meshThicknessOn2D: 0,
    meshXRay: 0.6,  // shows the gland through bone
  });
  await viewer.attachToCanvas(byId("canvas"));
  viewer.setRenderAzimuthElevation(180, 10);  // from the front

  const axis = () => AXES[choose.layout.value] ?? 2;
  const voxels = () => viewer.volumes[0].dimsRAS.slice(1, 4);

  function showPosition() {
    const count = voxels()[axis()], share = viewer.scene.crosshairPos[axis()];
    slider.max = count;
    slider.value = Math.min(count, Math.max(1, Math.floor(share * count) + 1));
    byId("slice-number").textContent = `${slider.value} of ${count}`;
  }

  function applyZoom() {
    const zoom = Number(choose.zoom.value), mm = viewer.frac2mm(viewer.scene.crosshairPos);
    viewer.opts.crosshairWidth = 0.6 / zoom;
    viewer.crosshairs3D = null;  // made anew in the new width
    viewer.setPan2Dxyzmm([...[0, 1, 2].map((i) => (1 - zoom) * mm[i]), zoom]);  // about the cross-hair
  }

  function applyWindow() {
    const [low, high] = choose.window.value.split(",").map(Number);
    viewer.volumes[0].cal_min = low;
    viewer.volumes[0].cal_max = high;
    viewer.updateGLVolume();
  }

  function applyMask() {
    // In slices the mask is NiiVue's drawing, which it can outline in every plane; 0.01 is not to be seen. In 3D it is
    // the surface alone.
    const only3D = choose.layout.value === "render";
    const [inside, rim] = only3D ? [0, 0] : { outline: [0.01, 1], fill: [0.4, 1], none: [0, 0] }[choose.mask.value];
    viewer.drawRimOpacity = rim;
    viewer.setDrawOpacity(inside);
    if (surface) viewer.setMeshProperty(surface.id, "visible", choose.mask.value !== "none");
  }

  function applyLayout() {
    stage.dataset.layout = choose.layout.value;
    const type = { axial: viewer.sliceTypeAxial, coronal: viewer.sliceTypeCoronal, sagittal: viewer.sliceTypeSagittal,
      render: viewer.sliceTypeRender, four: viewer.sliceTypeMultiplanar }[choose.layout.value];
    viewer.setSliceType(type);
    viewer.resizeListener();
    slider.disabled = choose.layout.value === "render";
    applyMask();
    showPosition();
  }

  async function showVolume() {
    const name = choose.volume.value;
    const load = (kind, options) =>
      unpacked(`${kind}-${name}`).then((buffer) => NVImage.loadFromFile({
        file: new File([buffer], `${kind}.nii`), name: `${kind}.nii`, ...options,
      }));
    const ct = await load("ct", { colormap: "ct-grey" });
    mask = await load("mask", {});
    if (viewer.volumes.length) {
      viewer.closeDrawing();
      viewer.removeVolumeByIndex(0);
    }
    viewer.opts.sliceType = viewer.sliceTypeAxial;  // the quickest to draw, until all is set
    viewer.addVolume(ct);
    viewer.loadDrawing(mask);
    const begin = byId(`ct-${name}`).dataset.start.split(",").map(Number);
    viewer.scene.crosshairPos = begin;
    applyWindow();
    applyZoom();
    applyLayout();
    viewer.createOnLocationChange();
  }

  let mask = null;
  const surface = await loadSurface(NVMesh, viewer);
  viewer.setDrawColormap({ R: [0, 255], G: [0, 212], B: [0, 0], A: [0, 255], labels: ["", "mask"] });
  // clear but for bone and contrast agent in 3D, where it would hide the gland; slices don't use the alpha
  viewer.addColormap("ct-grey", { R: [0, 235, 255], G: [0, 235, 255], B: [0, 235, 255], A: [0, 0, 60], I: [0, 235, 255] });
  viewer.onLocationChange = (location) => {
    const [x, y, z] = Array.from(location.mm).map((value) => Math.round(value));
    const hu = Math.round(location.values[0].value), inside = mask.getValue(...location.vox) > 0;
    readout.textContent = `${hu} HU at ${x}, ${y}, ${z} mm (right–left, back–front, feet–head)${inside ? ", in the mask" : ""}`
      .replaceAll("-", "−");
    showPosition();
  };
  slider.addEventListener("input", () => {
    const position = [...viewer.scene.crosshairPos];
    position[axis()] = (slider.valueAsNumber - 0.5) / voxels()[axis()];
    viewer.scene.crosshairPos = position;
    viewer.drawScene();
    viewer.createOnLocationChange();
  });
  choose.volume.addEventListener("change", showVolume);
  choose.layout.addEventListener("change", applyLayout);
  choose.zoom.addEventListener("input", applyZoom);
  choose.window.addEventListener("change", applyWindow);
  choose.mask.addEventListener("change", applyMask);

  if (window.matchMedia("(max-width: 48rem)").matches) choose.layout.value = "axial";
  await showVolume();
  byId("controls").hidden = false;
  stage.dataset.ready = "yes";
  document.pancreasViewer = viewer;
}

start().catch((error) => {
  stage.hidden = true;
  readout.textContent = `The viewer did not start in this browser (${error.message}). It needs WebGL 2; the pictures do not.`;
});
