// What a statically linked program asks of Linux, on a bare x86-64 machine: memory, one file to read, one to
// write, the tile registers. Linked into the program, whose entry is `machine_start`.
//
//   "in"   lies in memory at IN: its length in eight bytes, then itself
//   "out"  goes byte by byte to the parallel port
//   what is said on standard output and error goes to the serial port

#include <stdint.h>

enum { IN = 0x1000000, STACK = 0x3f00000, HEAP = 0x4000000, HEAP_END = 0x1c000000 };
enum { NO_ENTRY = -2, NO_MEMORY = -12, WRONG = -22, SEEK = -29, UNKNOWN = -38 };
enum { FILE_IN = 3, FILE_OUT = 4 };

char system_stack[1 << 16];
uint64_t program_stack_pointer;
static uint64_t heap_end = HEAP, read_so_far;

static void out(uint16_t port, uint8_t value) { asm volatile("outb %0, %1" ::"a"(value), "Nd"(port)); }
static uint8_t in(uint16_t port) {
    uint8_t value;
    asm volatile("inb %1, %0" : "=a"(value) : "Nd"(port));
    return value;
}
static void set_register(uint32_t which, uint64_t value) {
    asm volatile("wrmsr" ::"c"(which), "a"((uint32_t)value), "d"((uint32_t)(value >> 32)));
}
static int has_tiles() {
    uint32_t low, high;
    asm volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
    return (low >> 18) & 1;
}

static void print(uint8_t byte) {
    out(0x378, byte);
    out(0x37a, 0x0d);  // on line, strobe
    out(0x37a, 0x0c);
}
static void say(uint8_t byte) {
    while (!(in(0x3fd) & 0x20)) {
    }
    out(0x3f8, byte);
}
static void say_number(uint64_t number) {
    if (number > 9) say_number(number / 10);
    say('0' + number % 10);
}
static void say_text(const char* text) {
    while (*text) say(*text++);
}

/// Bochs ends where its shutdown port is told so.
static void end(uint64_t status) {
    say_text("\nended with ");
    say_number(status);
    say('\n');
    while (!(in(0x3fd) & 0x40)) {
    }
    for (const char* word = "Shutdown"; *word; ++word) out(0x8900, *word);
    for (;;) asm volatile("hlt");
}

static int64_t read_file(uint8_t* to, uint64_t count) {
    const uint64_t length = *(const volatile uint64_t*)IN;
    if (count > length - read_so_far) count = length - read_so_far;
    const uint8_t* from = (const uint8_t*)IN + 8 + read_so_far;
    read_so_far += count;
    const int64_t found = count;
    asm volatile("rep movsb" : "+D"(to), "+S"(from), "+c"(count)::"memory");
    return found;
}

static int64_t write_file(uint64_t file, const uint8_t* from, uint64_t count) {
    for (uint64_t at = 0; at < count; ++at) file == FILE_OUT ? print(from[at]) : say(from[at]);
    return count;
}

static int64_t move_heap(uint64_t wanted) {
    if (wanted < HEAP || wanted > HEAP_END) return heap_end;
    if (wanted > heap_end) {
        uint64_t to = heap_end, count = wanted - heap_end;
        asm volatile("rep stosb" : "+D"(to), "+c"(count) : "a"(0) : "memory");
    }
    return heap_end = wanted;
}

static int64_t open_file(const char* name) {
    if (name[0] == 'i' && name[1] == 'n' && !name[2]) return FILE_IN;
    if (name[0] == 'o' && name[1] == 'u' && name[2] == 't' && !name[3]) return FILE_OUT;
    return NO_ENTRY;
}

int64_t system_call(uint64_t a, uint64_t b, uint64_t c, uint64_t d, uint64_t e, uint64_t f, uint64_t call) {
    struct {
        const uint8_t* from;
        uint64_t count;
    }* const parts = (void*)b;
    int64_t total = 0;
    switch (call) {
        case 0: return a == FILE_IN ? read_file((uint8_t*)b, c) : 0;
        case 1: return write_file(a, (const uint8_t*)b, c);
        case 2: return open_file((const char*)a);
        case 3: return 0;  // close
        case 8: return SEEK;
        case 9: return NO_MEMORY;  // mmap: malloc then takes the heap
        case 10: return 0;  // mprotect
        case 12: return move_heap(a);
        case 20:  // writev
            for (uint64_t at = 0; at < c; ++at) total += write_file(a, parts[at].from, parts[at].count);
            return total;
        case 158:  // arch_prctl
            if (a == 0x1002) return set_register(0xc0000100, b), 0;
            return a == 0x1023 && b == 18 && has_tiles() ? 0 : WRONG;
        case 218: return 1;  // set_tid_address
        case 257: return open_file((const char*)b);
        case 60:
        case 231: end(a);
        case 234: end(134);  // tgkill, of abort
        default: return UNKNOWN;
    }
}

// Returns where it was called from, with all registers but rax, rcx and r11 as they were.
asm(R"(
    .globl machine_call
machine_call:
    mov %rsp, program_stack_pointer(%rip)
    lea system_stack + 65536(%rip), %rsp
    push %rcx
    push %r11
    push %rdi
    push %rsi
    push %rdx
    push %r10
    push %r8
    push %r9
    sub $8, %rsp
    push %rax
    mov %r10, %rcx
    call system_call
    add $16, %rsp
    pop %r9
    pop %r8
    pop %r10
    pop %rdx
    pop %rsi
    pop %rdi
    popfq
    pop %rcx
    mov program_stack_pointer(%rip), %rsp
    jmp *%rcx

    .globl machine_start
machine_start:
    mov $0x3ef0000, %esp
    call prepare
    mov %rax, %rsp
    xor %edx, %edx
    jmp _start
)");

extern char machine_call[], __ehdr_start[];

/// The stack with which Linux would start the program.
uint64_t* prepare(void) {
    static const uint8_t noise[16] = "sixteen of them";
    const uint64_t headers = (uint64_t)__ehdr_start + *(uint64_t*)(__ehdr_start + 32);
    const uint64_t stack[] = {
        3, (uint64_t)"driver", (uint64_t)"in", (uint64_t)"out", 0,
        0,
        3, headers, 4, 56, 5, *(uint16_t*)(__ehdr_start + 56), 6, 4096, 23, 0, 25, (uint64_t)noise, 0, 0,
    };
    uint64_t* to = (uint64_t*)STACK;
    for (uint64_t at = 0; at < sizeof(stack) / 8; ++at) to[at] = stack[at];
    out(0x3fb, 3);  // the serial port's characters have eight bits
    set_register(0xc0000081, (uint64_t)24 << 32);  // segments from a call on
    set_register(0xc0000082, (uint64_t)machine_call);
    set_register(0xc0000084, 0);
    return to;
}
