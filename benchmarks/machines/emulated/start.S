// From an x86-64 processor's reset to 64-bit mode, with every register that the processor offers switched on:
// the 64 KiB below 4 GiB, in place of a BIOS. Then the program that lies at 8 MiB is entered (`system.c`).

#define PROGRAM 0x800000
#define ENTRY 0x18  // of an ELF file's header
#define REGISTERS 0x600e7  // of XCR0: x87, SSE, AVX, AVX-512, tile configuration and tiles

    .text
    .org 0
rom:
    .code16
begin:
    cli
    lgdtl %cs:(segments_pointer - rom)
    mov %cr0, %eax
    or $1, %eax
    mov %eax, %cr0
    ljmpl $8, $protected

    .code32
protected:
    mov $16, %eax
    mov %eax, %ds
    mov %eax, %es
    mov %eax, %ss
    mov $0x40620, %eax  // PAE, OSFXSR, OSXMMEXCPT, OSXSAVE
    mov %eax, %cr4
    mov $pages, %eax
    mov %eax, %cr3
    mov $0xc0000080, %ecx
    rdmsr
    or $0x101, %eax  // long mode, the syscall instruction
    wrmsr
    mov $0x80000023, %eax  // paging, protection, MP, NE; caches on
    mov %eax, %cr0
    ljmpl $24, $long

    .code64
long:
    mov $0xd, %eax
    xor %ecx, %ecx
    cpuid
    and $REGISTERS, %eax
    xor %edx, %edx
    xor %ecx, %ecx
    xsetbv
    mov PROGRAM + ENTRY, %eax
    jmp *%rax

    .balign 8
segments:  // 32-bit code, data, 64-bit code, data; marked as used
    .quad 0, 0x00cf9b000000ffff, 0x00cf93000000ffff, 0x00af9b000000ffff, 0x00cf93000000ffff
segments_pointer:
    .word 39
    .long segments

    .balign 4096
pages:  // 4 GiB at their own addresses, marked as used and written
    .quad gigabytes + 0x23
    .balign 4096
gigabytes:
    .quad 0x000000e3, 0x400000e3, 0x800000e3, 0xc00000e3

    .org 0xfff0
    .code16
reset:
    jmp begin
    .org 0x10000
