include "fill_table.pxi"
