/* SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause */
/*
 * A host with an Intel graphics function, made up in a library that is preloaded into QEMU.
 *
 * QEMU's vfio-pci opens /dev/vfio and asks the kernel about the function. The library answers in the kernel's place,
 * so that QEMU's own quirks for the function run without the hardware. Registers only: no DMA, no interrupts, no
 * mapping of BARs. What is behind a region is memory: it holds what was written last, and a reset clears nothing.
 *
 *   region                bytes                     content
 *   BAR0, BAR2, BAR4      16 MiB, 256 MiB, 64       zeros
 *   configuration space   256                       8086:IGD_DEVICE, MSI at 90h, power management at D0h
 *   VGA                   768 KiB                   zeros
 *   OpRegion              8 KiB                     signature, size, version; no VBT; other dwords 0x09000000 + offset
 *   host bridge           256                       ids of a Coffee Lake; other dwords 0xa0000000 + offset
 *   LPC bridge            256                       ids of a Coffee Lake; other dwords 0xb0000000 + offset
 *
 * Environment; numbers are decimal, or hexadecimal with 0x:
 *
 *   IGD_DEVICE        device id, 0x3e92
 *   IGD_CLASS         class, 0x030000
 *   IGD_GGC           dword at 50h, 0x01c1
 *   IGD_BDSM          dword at 5Ch and C0h, 0x7c000001
 *   IGD_NO_OPREGION   with any value, there is no region with the OpRegion
 *   IGD_NO_HOST       the same for the host bridge
 *   IGD_NO_LPC        the same for the LPC bridge
 *
 * QEMU finds the function by a folder in place of that of sysfs, whose link iommu_group ends in a number. Only symbols
 * that every glibc since 2.27 has are used, so the library may run with an older one than it was built with.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/vfio.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

/* Regions 0 to 8 are those of every PCI function, in the order of linux/vfio.h. */
enum {
    OPREGION = VFIO_PCI_NUM_REGIONS,
    HOST_BRIDGE,
    LPC_BRIDGE,
    REGIONS,
};

/* Where a region starts in the function's file. */
#define START(region) ((uint64_t)(region) << 40)
#define CONFIG_SIZE 256
#define OPREGION_SIZE 8192

static const uint64_t size_of[REGIONS] = {
    [VFIO_PCI_BAR0_REGION_INDEX] = 16 << 20,
    [VFIO_PCI_BAR2_REGION_INDEX] = 256 << 20,
    [VFIO_PCI_BAR4_REGION_INDEX] = 64,
    [VFIO_PCI_CONFIG_REGION_INDEX] = CONFIG_SIZE,
    [VFIO_PCI_VGA_REGION_INDEX] = 0xc0000,
    [OPREGION] = OPREGION_SIZE,
    [HOST_BRIDGE] = CONFIG_SIZE,
    [LPC_BRIDGE] = CONFIG_SIZE,
};

/* Variables that take a region away. */
static const char *const absence_of[REGIONS] = {
    [OPREGION] = "IGD_NO_OPREGION",
    [HOST_BRIDGE] = "IGD_NO_HOST",
    [LPC_BRIDGE] = "IGD_NO_LPC",
};

static void fail(const char *reason)
{
    ssize_t written = write(STDERR_FILENO, reason, strlen(reason));
    (void)written;
    abort();
}

/* strtoul is another symbol in newer headers. */
static uint32_t variable(const char *name, uint32_t other)
{
    const char *digit = getenv(name);
    uint32_t base = 10, value = 0;

    if (!digit)
        return other;
    if (digit[0] == '0' && digit[1] == 'x') {
        base = 16;
        digit += 2;
    }
    for (; *digit; digit++) {
        uint32_t number = *digit >= '0' && *digit <= '9' ? (uint32_t)(*digit - '0')
                        : *digit >= 'a' && *digit <= 'f' ? (uint32_t)(*digit - 'a' + 10)
                        : *digit >= 'A' && *digit <= 'F' ? (uint32_t)(*digit - 'A' + 10)
                        : base;
        if (number >= base)
            fail("vfio_igd: a variable that begins with IGD_ is not a number\n");
        value = value * base + number;
    }
    return value;
}

static void put(int file, int region, uint32_t offset, uint32_t value)
{
    if (pwrite(file, &value, sizeof(value), START(region) + offset) != sizeof(value))
        fail("vfio_igd: cannot write to the file of the function\n");
}

static void put_function(int file)
{
    const struct {
        uint32_t offset, value;
    } registers[] = {
        { 0x00, 0x8086 | variable("IGD_DEVICE", 0x3e92) << 16 },
        { 0x04, 0x00100000 }, /* there are capabilities */
        { 0x08, variable("IGD_CLASS", 0x030000) << 8 | 2 },
        { 0x10, 0x00000004 }, /* BAR0: 64 bits */
        { 0x18, 0x0000000c }, /* BAR2: 64 bits, prefetchable */
        { 0x20, 0x00000001 }, /* BAR4: ports */
        { 0x2c, 0x22128086 },
        { 0x34, 0x00000090 }, /* first capability */
        { 0x3c, 0x00000100 }, /* interrupt pin A */
        { 0x50, variable("IGD_GGC", 0x01c1) },
        { 0x5c, variable("IGD_BDSM", 0x7c000001) },
        { 0x90, 0x0000d005 }, /* MSI, then D0h */
        { 0xc0, variable("IGD_BDSM", 0x7c000001) },
        { 0xd0, 0x00020001 }, /* power management */
        { 0xfc, 0x7bff0018 }, /* ASLS */
    };

    for (size_t i = 0; i < sizeof(registers) / sizeof(*registers); i++)
        put(file, VFIO_PCI_CONFIG_REGION_INDEX, registers[i].offset, registers[i].value);
}

static void put_opregion(int file)
{
    if (pwrite(file, "IntelGraphicsMem", 16, START(OPREGION)) != 16)
        fail("vfio_igd: cannot write the OpRegion\n");
    put(file, OPREGION, 0x10, OPREGION_SIZE >> 10);
    put(file, OPREGION, 0x14, 0x02000000); /* version 2.0 */
    for (uint32_t offset = 0x18; offset < OPREGION_SIZE; offset += 4)
        if (offset < 0x300 || offset >= 0x400) /* mailbox 3 is empty */
            put(file, OPREGION, offset, 0x09000000 | offset);
}

static void put_bridge(int file, int region, uint32_t mark, uint32_t ids, uint32_t class, uint32_t subsystem)
{
    for (uint32_t offset = 0; offset < CONFIG_SIZE; offset += 4)
        put(file, region, offset, mark | offset);
    put(file, region, 0x00, ids);
    put(file, region, 0x08, class);
    put(file, region, 0x2c, subsystem);
}

static int function(void)
{
    int file = memfd_create("igd", 0);

    if (file < 0 || ftruncate(file, START(REGIONS)))
        fail("vfio_igd: cannot make the file of the function\n");
    put_function(file);
    put_opregion(file);
    put_bridge(file, HOST_BRIDGE, 0xa0000000, 0x3ec28086, 0x06000007, 0x85341043);
    put_bridge(file, LPC_BRIDGE, 0xb0000000, 0xa3058086, 0x06010010, 0x85351043);
    return file;
}

static int region_info(struct vfio_region_info *info)
{
    uint32_t region = info->index, room = info->argsz;
    struct vfio_region_info_cap_type *type = (void *)(info + 1);

    if (region >= REGIONS)
        return EINVAL;
    info->size = absence_of[region] && getenv(absence_of[region]) ? 0 : size_of[region];
    info->flags = info->size ? VFIO_REGION_INFO_FLAG_READ | VFIO_REGION_INFO_FLAG_WRITE : 0;
    info->offset = START(region);
    info->cap_offset = 0;
    if (region < OPREGION || !info->size)
        return 0;
    info->flags |= VFIO_REGION_INFO_FLAG_CAPS;
    info->argsz = sizeof(*info) + sizeof(*type);
    if (room < info->argsz) /* QEMU asks again with more room */
        return 0;
    info->cap_offset = sizeof(*info);
    type->header.id = VFIO_REGION_INFO_CAP_TYPE;
    type->header.version = 1;
    type->header.next = 0;
    type->type = VFIO_REGION_TYPE_PCI_VENDOR_TYPE | 0x8086;
    type->subtype = region - OPREGION + VFIO_REGION_SUBTYPE_INTEL_IGD_OPREGION;
    return 0;
}

static int answer(unsigned long request, void *argument)
{
    switch (request) {
    case VFIO_GET_API_VERSION:
        return VFIO_API_VERSION;
    case VFIO_CHECK_EXTENSION:
        return (long)argument == VFIO_TYPE1v2_IOMMU || (long)argument == VFIO_TYPE1_IOMMU;
    case VFIO_GROUP_GET_STATUS:
        ((struct vfio_group_status *)argument)->flags = VFIO_GROUP_FLAGS_VIABLE;
        return 0;
    case VFIO_GROUP_GET_DEVICE_FD:
        return function();
    case VFIO_IOMMU_GET_INFO: {
        struct vfio_iommu_type1_info *info = argument;
        info->flags = VFIO_IOMMU_INFO_PGSIZES;
        info->iova_pgsizes = 4096;
        return 0;
    }
    case VFIO_DEVICE_GET_INFO: {
        struct vfio_device_info *info = argument;
        info->flags = VFIO_DEVICE_FLAGS_PCI | VFIO_DEVICE_FLAGS_RESET;
        info->num_regions = REGIONS;
        info->num_irqs = VFIO_PCI_NUM_IRQS;
        return 0;
    }
    case VFIO_DEVICE_GET_REGION_INFO:
        errno = region_info(argument);
        return errno ? -1 : 0;
    case VFIO_DEVICE_GET_IRQ_INFO: {
        struct vfio_irq_info *info = argument;
        info->count = info->index <= VFIO_PCI_MSI_IRQ_INDEX;
        info->flags = info->count ? VFIO_IRQ_INFO_EVENTFD : 0;
        return 0;
    }
    case VFIO_GROUP_SET_CONTAINER:
    case VFIO_GROUP_UNSET_CONTAINER:
    case VFIO_SET_IOMMU:
    case VFIO_IOMMU_MAP_DMA:
    case VFIO_IOMMU_UNMAP_DMA:
    case VFIO_DEVICE_SET_IRQS:
    case VFIO_DEVICE_RESET:
        return 0;
    }
    errno = ENOTTY;
    return -1;
}

/* From here on, functions of the C library: QEMU calls these instead. */

int ioctl(int file, unsigned long request, ...)
{
    va_list list;
    void *argument;

    va_start(list, request);
    argument = va_arg(list, void *);
    va_end(list);
    if (_IOC_TYPE(request) == VFIO_TYPE)
        return answer(request, argument);
    return syscall(SYS_ioctl, file, request, argument);
}

static int open_at(int folder, const char *path, int flags, mode_t mode)
{
    if (!strncmp(path, "/dev/vfio/", strlen("/dev/vfio/")))
        return memfd_create("vfio", 0);
    return syscall(SYS_openat, folder, path, flags, mode);
}

/* A mode follows the flags only where a file may be created. */
static mode_t mode_of(int flags, va_list list)
{
    return flags & O_CREAT || (flags & O_TMPFILE) == O_TMPFILE ? va_arg(list, mode_t) : 0;
}

/* Calls open_at with the mode, if there is one, and returns what it does. */
#define RETURN_OPEN(folder, path, flags)                                                          \
    do {                                                                                          \
        va_list list;                                                                             \
        va_start(list, flags);                                                                    \
        mode_t mode = mode_of(flags, list);                                                       \
        va_end(list);                                                                             \
        return open_at(folder, path, flags, mode);                                                \
    } while (0)

int open(const char *path, int flags, ...)
{
    RETURN_OPEN(AT_FDCWD, path, flags);
}

int open64(const char *path, int flags, ...)
{
    RETURN_OPEN(AT_FDCWD, path, flags);
}

int openat(int folder, const char *path, int flags, ...)
{
    RETURN_OPEN(folder, path, flags);
}

int openat64(int folder, const char *path, int flags, ...)
{
    RETURN_OPEN(folder, path, flags);
}

/* What a hardened program calls where no file can be created. */
int __open_2(const char *path, int flags)
{
    return open_at(AT_FDCWD, path, flags, 0);
}

int __open64_2(const char *path, int flags)
{
    return open_at(AT_FDCWD, path, flags, 0);
}
