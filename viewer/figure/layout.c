/* layout.c: where the parts of a page stand. See figure.h. */

#include "figure.h"

#include <math.h>

static const double ratio = 1.55; /* width over height of a plot that reads well */
static const double gap_x = 12, gap_y = 12;

enum { WIDEST = 8 };

/* How far cells of `columns` columns are from the best form: their shape, and rows that are not full. */
static double misfit(rect area, int64_t n, int columns) {
    int64_t rows = (n + columns - 1) / columns;
    double w = (area.w - gap_x * (columns - 1)) / columns, h = (area.h - gap_y * (double)(rows - 1)) / (double)rows;
    double holes = (double)(rows * columns - n) / (double)(rows * columns);
    return fabs(log(fmax(w, 1) / fmax(h, 1) / ratio)) + 0.8 * holes;
}

static int best_columns(rect area, int64_t n) {
    int best = 1;
    for (int columns = 2; columns <= WIDEST && columns <= n; columns++)
        if (misfit(area, n, columns) < misfit(area, n, best)) best = columns;
    return best;
}

int layout_cells(rect area, int64_t n, rect *cell) {
    if (n < 1) return 0;
    int64_t columns = best_columns(area, n), rows = (n + columns - 1) / columns;
    int64_t few = n / rows, longer = n % rows; /* the last `longer` rows hold one more */
    double h = fmax((area.h - gap_y * (double)(rows - 1)) / (double)rows, 1);
    int64_t k = 0;
    for (int64_t row = 0; row < rows; row++) {
        int64_t count = few + (row >= rows - longer);
        double w = fmax((area.w - gap_x * (double)(count - 1)) / (double)count, 1);
        for (int64_t i = 0; i < count; i++)
            cell[k++] = (rect){ area.x + (double)i * (w + gap_x), area.y + (double)row * (h + gap_y), w, h };
    }
    return (int)rows;
}

double layout_height(double width, int64_t n) {
    const double usual = 7.5 / 12 * width;
    double rows = ceil((double)n / 4);
    return n <= 12 ? usual : usual * (0.13 + 0.29 * rows);
}

double layout_font(rect cell) {
    double font = 4.2 + sqrt(cell.w * cell.h) / 62;
    return font < 4.5 ? 4.5 : font > 10.5 ? 10.5 : font;
}
