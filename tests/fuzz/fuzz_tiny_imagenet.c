/* Any text as the lists of TinyImageNet: the first byte chooses options, then come wnids.txt, words.txt and
 * val_annotations.txt with a NUL after each; the pictures are always the same.
 */
#include "tests/fuzz/fuzz_pictures.h"

#include "plugins/datasets/tiny_imagenet.c"

/* A member of a .tar file into an open file. */
static void put(int fd, const char *name, const void *data, size_t n)
{
    char block[512] = {0};
    unsigned sum = 0;
    strcpy(block, name);
    memcpy(block + 100, "0000644\0000000000\0000000000", 24);
    snprintf(block + 124, 12, "%011o", (unsigned)n);
    memcpy(block + 136, "00000000000\0        0", 21);
    memcpy(block + 257, "ustar\00000", 8);
    for (int i = 0; i < 512; i++)
        sum += (unsigned char)block[i];
    snprintf(block + 148, 8, "%06o", sum);
    MUST(write(fd, block, 512) == 512 && write(fd, data, n) == (ssize_t)n);
    memset(block, 0, sizeof block);
    MUST(write(fd, block, (512 - n % 512) % 512) >= 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    static const char *const pictures[] = {"t/train/n1/images/a.JPEG", "t/train/n2/b.JPEG", "t/val/images/v0.JPEG",
                                           "t/val/images/v1.JPEG", "t/test/images/u.JPEG"};
    static const char *const texts[] = {"t/wnids.txt", "t/words.txt", "t/val/val_annotations.txt"};
    if (n < 1)
        return 0;
    fuzz_file file = fuzz_open(data, 0);
    const uint8_t *at = data + 1, *end = data + n;
    for (size_t i = 0; i < sizeof pictures / sizeof *pictures; i++)
        put(file.fd, pictures[i], "P5 1 1 255 x", 12);
    for (int i = 0; i < 3; i++) {
        const uint8_t *stop = memchr(at, 0, (size_t)(end - at));
        stop = stop && i < 2 ? stop : end;
        put(file.fd, texts[i], at, (size_t)(stop - at));
        at = stop < end ? stop + 1 : end;
    }
    char nothing[1024] = {0};
    MUST(write(file.fd, nothing, sizeof nothing) == sizeof nothing);
    const options o = {.path = file.path, .val = data[0] & 1, .names = data[0] >> 1 & 1,
                       .unlabelled = data[0] >> 2 & 1};
    fuzz_pictures(&tiny_impl, &o);
    close(file.fd);
    return 0;
}
