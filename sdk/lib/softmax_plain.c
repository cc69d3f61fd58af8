#define KERNELS softmax_plain
#include "lanes_plain.h"
#include "softmax_tile.h"
