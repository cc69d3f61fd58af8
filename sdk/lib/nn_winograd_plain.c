#include "nn_winograd.h"

#ifndef NN_PRODUCT_X86
#define V 4
#define TRANSFORMS nn_transforms_plain
#include "nn_winograd_rows.h"
#endif
