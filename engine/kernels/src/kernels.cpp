// isa: each
// The kernels of one instruction set, as a table that the rest of the library picks from at run time.

#include "attention.h"
#include "kernels.h"
#include "linear.h"
#include "quantize.h"
#include "sampling.h"

#define NAME_OF(isa) #isa
#define NAMED(isa) NAME_OF(isa)
#define JOINED(a, b) a##b
#define TABLE_OF(isa) JOINED(kernels_, isa)

extern "C" const Kernels TABLE_OF(ISA);
const Kernels TABLE_OF(ISA) = {
    NAMED(ISA),      HAS_HALF,    ISA::quantize,         ISA::multiply, ISA::rotate_and_keep,
    ISA::attend,     ISA::attention_scratch, ISA::column_maxima, ISA::weigh,
};
