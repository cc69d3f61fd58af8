/* clones.h: compile a loop once per vector width and let the loader choose.
 *
 * Only for loops whose result does not depend on the width: element by element, or sums in a fixed
 * number of lanes. Contraction to fused multiply-add is off in the whole build, so the bits are the
 * same in every clone. The sanitizers' runtime is not up yet when the loader chooses; clang has its own
 * ways: both get the plain loop.
 */
#ifndef DAL_CLONES_H
#define DAL_CLONES_H

#define INLINED static inline __attribute__((always_inline)) /* into each of the clones */

#if defined(__GNUC__) && !defined(__clang__) && defined(__x86_64__) && defined(__gnu_linux__) && \
    !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__) && !defined(DAL_NO_CLONES)
#define DAL_CLONES __attribute__((target_clones("avx512f", "avx2", "default")))
#else
#define DAL_CLONES
#endif

#endif
