#include "joint.h"

#ifdef HAVE_X86_KERNELS
#pragma GCC target("avx2,fma")
#pragma GCC optimize("O3") /* the arrays of vectors must become registers, also under a user's -O2 */
#define KERNEL joint_avx2
#include "lanes_avx2.h"
#include "joint_tile.h"
#endif
