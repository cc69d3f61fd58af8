/* joint.h: (libdal, private) the inner loop of dal/joint.h, compiled for AVX-512, for AVX2 and for any machine
 * with the same bits (lanes_*.h).
 */
#ifndef DAL_LIB_JOINT_H
#define DAL_LIB_JOINT_H

#include <dal/joint.h>

#include "softmax.h"

#define JOINT_DOWN 8 /* events of a group */

/* out [16] += sum over classes and events of p w ((1 + d) ln(1 + d) - d). */
typedef void joint_kernel(const dal_joint_events *e, const float *y, const float *p, int64_t classes, double *out);
joint_kernel joint_plain, joint_avx2, joint_avx512;

#endif
