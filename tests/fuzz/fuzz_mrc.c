/* Any bytes as a map and its particles: samples of finite values, or a complaint. The first two bytes choose options
 * and how long the file of particles is, which follows; the rest is the map, which is also file 9 of whatever folder it
 * is in.
 */
#define MRC_MAX_PIXELS ((int64_t)4096)
#include "tests/fuzz/fuzz_pictures.h"

#include "plugins/datasets/mrc.c"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    enum { MAP = 9 };
    static const int64_t boxes[] = {0, 0, 2, 5};
    char path[32];
    if (n < 2)
        return 0;
    const unsigned c = data[0];
    size_t n_particles = data[1] * 4u;
    n_particles = n_particles > n - 2 ? n - 2 : n_particles;
    fuzz_file particles = fuzz_open(data + 2, n_particles),
        map = fuzz_open(data + 2 + n_particles, n - 2 - n_particles);
    MUST(dup2(map.fd, MAP) == MAP); /* a name that can be in a corpus */
    snprintf(path, sizeof path, "/proc/self/fd/%d", MAP);
    const options o = {
        .path = n_particles && c & 1 ? "/proc/self/fd" : path,
        .particles = n_particles ? particles.path : "",
        .label = n_particles && c & 2 ? "rlnClassNumber" : "",
        .label_file = c & 4 ? particles.path : "",
        .test_path = c & 8 ? path : "",
        .test_particles = "",
        .test_label_file = c & 16 ? particles.path : "",
        .box = n_particles ? boxes[c >> 5 & 3] : 0,
        .edge = c >> 7 & 1,
    };
    fuzz_pictures(&mrc_impl, &o);
    close(MAP);
    close(particles.fd);
    close(map.fd);
    return 0;
}
