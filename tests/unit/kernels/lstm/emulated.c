/* One call of a layer under an emulator: from stdin a number (0 LSTM, 1 dense), the call, the size of each of its arrays
   and the arrays in the order of their pointers; the output, which is the fifth, to stdout. */
#include "native.c"
#include <stdio.h>

int main(void)
{
    union {
        lstm_call lstm;
        dense_call dense;
        char *arrays[6];
    } call;
    int64_t which, sizes[6];
    if (fread(&which, 8, 1, stdin) != 1 || fread(&call, which ? sizeof(dense_call) : sizeof(lstm_call), 1, stdin) != 1)
        return 1;
    int count = which ? 5 : 6;
    if (fread(sizes, 8, count, stdin) != (size_t)count)
        return 1;
    for (int i = 0; i < count; i++) {
        call.arrays[i] = aligned(sizes[i] + 64);
        if (fread(call.arrays[i], 1, sizes[i], stdin) != (size_t)sizes[i])
            return 1;
    }
    if (which ? biorrn_dense(BASE, FLOAT, &call.dense) : biorrn_lstm(BASE, FLOAT, &call.lstm))
        return 1;
    return fwrite(call.arrays[4], 1, sizes[4], stdout) != (size_t)sizes[4];
}
