package copier

import "hash/crc32"

// extend is the CRC32C of what has the given one and b behind it.
func extend(crc uint32, b []byte) uint32 {
	return crc32.Update(crc, crc32.MakeTable(crc32.Castagnoli), b)
}

// join is the CRC32C of two stretches of bytes, by that of each and the length of the
// second. A CRC is the remainder of a polynomial over two elements: behind the first come n
// more bytes, so its remainder is multiplied by x to the power of 8n, and that of the second
// is added. The standard library does not have it.
func join(first, second uint32, n int64) uint32 {
	shift, square := uint32(1<<31), uint32(1<<(31-8)) // 1 and x^8: the highest bit is x^0
	for ; n > 0; n >>= 1 {
		if n&1 == 1 {
			shift = times(shift, square)
		}
		square = times(square, square)
	}
	return times(first, shift) ^ second
}

// times is the product of two polynomials, modulo that of CRC32C.
func times(a, b uint32) (product uint32) {
	for ; a != 0; a <<= 1 {
		if a&(1<<31) != 0 {
			product ^= b
		}
		if carry := b & 1; carry == 1 {
			b = b>>1 ^ crc32.Castagnoli
		} else {
			b >>= 1
		}
	}
	return product
}
