// A techmap for Yosys. It gives the operands of each operator the width in which the operator computes, so that the
// Verilog written afterwards extends and cuts nothing silently.

`define HEADER(NAME) \
module NAME(A, B, Y); \
    parameter A_SIGNED = 0, B_SIGNED = 0, A_WIDTH = 1, B_WIDTH = 1, Y_WIDTH = 1; \
    localparam LONGER = A_WIDTH > B_WIDTH ? A_WIDTH : B_WIDTH; \
    localparam SIGNED = A_SIGNED && B_SIGNED; \
    input [A_WIDTH-1:0] A; \
    input [B_WIDTH-1:0] B; \
    output [Y_WIDTH-1:0] Y;

`define EXTEND(WIDTH) \
    wire [WIDTH-1:0] a = {{WIDTH{SIGNED && A[A_WIDTH-1]}}, A}; \
    wire [WIDTH-1:0] b = {{WIDTH{SIGNED && B[B_WIDTH-1]}}, B};

`define ARITHMETIC(TYPE, NAME, OPERATOR) \
(* techmap_celltype = TYPE *) `HEADER(NAME) \
    wire _TECHMAP_FAIL_ = A_WIDTH == Y_WIDTH && B_WIDTH == Y_WIDTH && !SIGNED; \
    `EXTEND(Y_WIDTH) \
    assign Y = a OPERATOR b; \
endmodule

`ARITHMETIC("$add", equal_widths_add, +)
`ARITHMETIC("$sub", equal_widths_sub, -)
`ARITHMETIC("$mul", equal_widths_mul, *)
`ARITHMETIC("$and", equal_widths_and, &)
`ARITHMETIC("$or", equal_widths_or, |)
`ARITHMETIC("$xor", equal_widths_xor, ^)

`define COMPARISON(TYPE, NAME, CELL) \
(* techmap_celltype = TYPE *) `HEADER(NAME) \
    wire _TECHMAP_FAIL_ = A_WIDTH == B_WIDTH && Y_WIDTH == 1; \
    `EXTEND(LONGER) \
    wire holds; \
    CELL #(.A_SIGNED(SIGNED), .B_SIGNED(SIGNED), .A_WIDTH(LONGER), .B_WIDTH(LONGER), .Y_WIDTH(1)) \
        _TECHMAP_REPLACE_ (.A(a), .B(b), .Y(holds)); \
    assign Y = holds; \
endmodule

`COMPARISON("$eq", equal_widths_eq, \$eq )
`COMPARISON("$ne", equal_widths_ne, \$ne )
`COMPARISON("$lt", equal_widths_lt, \$lt )
`COMPARISON("$le", equal_widths_le, \$le )
`COMPARISON("$gt", equal_widths_gt, \$gt )
`COMPARISON("$ge", equal_widths_ge, \$ge )

(* techmap_celltype = "$logic_not" *)
module equal_widths_logic_not(A, Y);
    parameter A_SIGNED = 0, A_WIDTH = 1, Y_WIDTH = 1;
    input [A_WIDTH-1:0] A;
    output [Y_WIDTH-1:0] Y;
    wire _TECHMAP_FAIL_ = A_WIDTH == 1 && Y_WIDTH == 1;
    assign Y = ~|A;
endmodule
