/* A property model of proteins but its head, for one instruction set and one kind of numbers; part of layers.h.

   Rows are taken in blocks, whose weights serve several tiles. The first layer adds rows of a table, one for each residue
   of a window. What is beyond the length of a row is computed from earlier numbers, or zeros, and not used. */

#define MOST_STEPS 32768 /* of the rows of a block together, which bounds memory */

static void M(first)(const property_call *call, const uint8_t *tokens, const int64_t *lengths, int64_t rows,
                     const float **windows, char *out)
{
    const int64_t half = call->taps / 2, width = call->width;
    for (int64_t r = 0; r < rows; r++, tokens += call->time) {
        for (int64_t t = 0; t < lengths[r]; t++) {
            const int64_t from = t < half ? half - t : 0, left = lengths[r] - t + half;
            const int64_t to = left < call->taps ? left : call->taps;
            for (int64_t k = from; k < to; k++)
                windows[k] = call->table + (k * call->symbols + tokens[t + k - half]) * width;
            for (int64_t c = 0; c < width; c += LANES) {
                VF y = N(load)(call->bias + c);
                for (int64_t k = from; k < to; k++)
                    y += N(load)(windows[k] + c);
                N(write)(out + ((t * rows + r) * width + c) * SIZE, M(activate)(y, call->activation), KIND, call->unit);
            }
        }
    }
}

/* Add the values (rows, features) of a step to the pools (pools, rows, features). */
static void M(pool)(const property_call *call, const float *values, const int64_t *lengths, int64_t rows, int64_t t,
                    float *pools)
{
    const int64_t size = call->features;
    for (int64_t p = 0; p < call->pools; p++, pools += rows * size) {
        const int largest = call->kinds[p] == MAX;
        for (int64_t r = 0; r < rows; r++) {
            if (t >= lengths[r])
                continue;
            for (int64_t c = r * size; c < (r + 1) * size; c += LANES) {
                VF value = N(load)(values + c), sum = N(load)(pools + c);
                N(put)(pools + c, t == 0 ? value : largest ? N(most)(sum, value) : sum + value);
            }
        }
    }
}

/* Numbers of the kind as floats. */
static void M(widen)(const char *from, float *to, int64_t count, float unit)
{
    for (int64_t i = 0; i < count; i++) {
#if KIND == FLOAT
        to[i] = ((const float *)from)[i];
#elif KIND == BFLOAT
        uint32_t bits = (uint32_t)((const uint16_t *)from)[i] << 16;
        memcpy(to + i, &bits, 4);
#else
        to[i] = (float)((const int16_t *)from)[i] / unit;
#endif
    }
    (void)unit;
}

static int M(property)(const property_call *call)
{
    int64_t longest = 1, widest = call->width;
    for (int64_t r = 0; r < call->rows; r++)
        longest = call->lengths[r] > longest ? call->lengths[r] : longest;
    for (int64_t n = 0; n < call->layers; n++) {
        int64_t width = call->cells[2 * n].hidden * call->directions[n];
        widest = width > widest ? width : widest;
    }
    int64_t block = call->block < MOST_STEPS / longest ? call->block : MOST_STEPS / longest / ROWS * ROWS;
    block = block < ROWS ? ROWS : block;
    block = block < call->rows ? block : call->rows;
    const int64_t part = (longest * block * widest * SIZE + 63) / 64 * 64, values = block * call->features;
    char *memory = aligned(2 * part + sizeof(float) * values * (1 + call->pools) + sizeof(float *) * call->taps);
    if (!memory)
        return 1;
    float *step = (float *)(memory + 2 * part), *pools = step + values;
    const float **windows = (const float **)(pools + call->pools * values);
    int failed = 0;
    for (int64_t begin = 0; begin < call->rows && !failed; begin += block) {
        const int64_t rows = call->rows - begin < block ? call->rows - begin : block, *lengths = call->lengths + begin;
        int64_t steps = 0, width = call->width, now = 0;
        for (int64_t r = 0; r < rows; r++)
            steps = lengths[r] > steps ? lengths[r] : steps;
        M(first)(call, call->tokens + begin * call->time, lengths, rows, windows, memory);
        for (int64_t n = 0; n < call->layers; n++, now = 1 - now) {
            for (int64_t d = 0; d < call->directions[n]; d++) {
                lstm_call cell = call->cells[2 * n + d];
                cell.x = memory + now * part;
                cell.out = memory + (1 - now) * part + d * cell.hidden * SIZE;
                cell.stride = call->directions[n] * cell.hidden * SIZE;
                cell.lengths = lengths;
                cell.rows = rows;
                failed |= M(lstm)(&cell);
            }
            width = call->directions[n] * call->cells[2 * n].hidden;
        }
        for (int64_t t = 0; t < steps; t++) {
            const char *frame = memory + now * part + t * rows * width * SIZE;
            if (call->dense) {
                dense_call dense = *call->dense;
                dense.x = frame;
                dense.out = (char *)step;
                dense.count = rows;
                M(dense)(&dense);
            } else {
                M(widen)(frame, step, rows * width, call->state);
            }
            M(pool)(call, step, lengths, rows, t, pools);
        }
        for (int64_t r = 0; r < rows; r++) {
            for (int64_t p = 0; p < call->pools; p++) {
                const float *from = pools + (p * rows + r) * call->features;
                float *to = call->out + ((begin + r) * call->pools + p) * call->features;
                const float by = call->kinds[p] == MEAN ? (float)lengths[r] : 1.0f;
                for (int64_t c = 0; c < call->features; c++)
                    to[c] = from[c] / by;
            }
        }
    }
    release(memory);
    return failed;
}

#undef MOST_STEPS
