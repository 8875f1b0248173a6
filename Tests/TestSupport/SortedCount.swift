extension RandomAccessCollection where Element: Comparable, Index == Int {
    /// How many come before a value; the collection is sorted.
    package func sortedCount(before value: Element) -> Int {
        var low = self.startIndex
        var high = self.endIndex
        while low < high {
            let middle = (low + high) / 2
            if self[middle] < value { low = middle + 1 } else { high = middle }
        }
        return low - self.startIndex
    }
}
