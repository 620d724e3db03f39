"""A sysfs, /dev and /proc below a temporary directory, laid out as the kernel lays them out."""

from pathlib import Path


class FakeHost:
    """Devices are added by kernel name; a device node is an empty file (its number comes from `numbers`)."""

    def __init__(self, root: Path) -> None:
        self.sysfs = root / "sys"
        self.dev = root / "dev"
        self.proc = root / "proc"
        for directory in (
            self.sysfs / "block",
            self.sysfs / "dev/block",
            self.sysfs / "class/block",
            self.dev / "disk/by-id",
            self.proc / "1",
        ):
            directory.mkdir(parents=True)
        self.mountinfo()

    def block(self, name: str, number: str, *, sectors: int = 4194304, **attributes: str) -> Path:
        """Add a whole block device; attributes are paths below it with "__" for "/"."""
        directory = self.sysfs / "devices/pci0" / name
        self._device(directory, name, number, sectors, attributes)
        (directory / "queue").mkdir()
        for attribute, value in (("logical_block_size", "512"), ("physical_block_size", "4096"), ("rotational", "0")):
            (directory / "queue" / attribute).write_text(f"{value}\n")
        (self.sysfs / "block" / name).symlink_to(directory)
        return directory

    def partition(self, disk: str, name: str, number: str, *, sectors: int = 2048, **attributes: str) -> Path:
        directory = self.sysfs / "devices/pci0" / disk / name
        self._device(directory, name, number, sectors, {"partition": "1", "start": "2048", **attributes})
        return directory

    def stack(self, upper: Path, lower: Path) -> None:
        """Put one device on another, as bd_link_disk_holder does: a link in both directions."""
        (upper / "slaves" / lower.name).symlink_to(lower)
        (lower / "holders" / upper.name).symlink_to(upper)

    def link(self, name: str, node: str) -> Path:
        link = self.dev / "disk/by-id" / name
        link.symlink_to(self.dev / node)
        return link

    def mountinfo(self, *lines: str, process: str = "1") -> None:
        (self.proc / process).mkdir(exist_ok=True)
        text = "\n".join(("25 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw", *lines))
        (self.proc / process / "mountinfo").write_text(text + "\n")

    def _device(self, directory: Path, name: str, number: str, sectors: int, attributes: dict[str, str]) -> None:
        (directory / "holders").mkdir(parents=True)
        (directory / "slaves").mkdir()
        for attribute, value in {"dev": number, "size": str(sectors), "ro": "0", **attributes}.items():
            path = directory / attribute.replace("__", "/")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(f"{value}\n")
        (self.sysfs / "dev/block" / number).symlink_to(directory)
        (self.sysfs / "class/block" / name).symlink_to(directory)
        (self.dev / name).touch()
