/// What an entry of the log holds: the newest images of the pages that some transactions changed.
struct Command {
    var transactions: [UInt64]
    var pages: [(number: Int, page: Page)]

    func encoded() -> [UInt8] {
        var bytes: [UInt8] = []
        bytes.reserveCapacity(16 + 8 * self.transactions.count + (8 + Page.size) * self.pages.count)
        func append(_ word: UInt64) { withUnsafeBytes(of: word.littleEndian) { bytes.append(contentsOf: $0) } }
        append(UInt64(self.transactions.count))
        append(UInt64(self.pages.count))
        for id in self.transactions { append(id) }
        for (number, page) in self.pages {
            append(UInt64(number))
            page.append(to: &bytes)
        }
        return bytes
    }

    init(transactions: [UInt64], pages: [(number: Int, page: Page)]) {
        self.transactions = transactions
        self.pages = pages
    }

    /// Reads what `encoded()` made.
    init(_ bytes: [UInt8]) {
        self = bytes.withUnsafeBytes { memory in
            var offset = 0
            func word() -> UInt64 {
                defer { offset += 8 }
                return UInt64(littleEndian: memory.loadUnaligned(fromByteOffset: offset, as: UInt64.self))
            }
            let transactionCount = Int(word())
            let pageCount = Int(word())
            let transactions = (0..<transactionCount).map { _ in word() }
            let pages = (0..<pageCount).map { _ in
                let number = Int(word())
                let page = Page(UnsafeRawBufferPointer(rebasing: memory[offset..<offset + Page.size]))
                offset += Page.size
                return (number: number, page: page)
            }
            return Command(transactions: transactions, pages: pages)
        }
    }
}
