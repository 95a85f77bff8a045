package conf

import (
	"fmt"
	"math"
	"strconv"
	"strings"
)

// Size reads a number of bytes that may end in K, M or G, which are powers of 1024.
func Size(text string) (int64, error) {
	digits := strings.TrimRight(text, "KMGkmg")
	n, err := strconv.ParseInt(digits, 10, 64)
	shift, known := map[string]uint{"": 0, "K": 10, "M": 20, "G": 30}[strings.ToUpper(text[len(digits):])]
	if err != nil || !known || n < 0 || n > math.MaxInt64>>shift {
		return 0, fmt.Errorf("%q: want a number, such as 10000, 50M or 1G; 0 is no limit", text)
	}
	return n << shift, nil
}
