/// The statements that a session has prepared, by number.
struct StatementRegistry {
    /// A prepared statement.
    final class Prepared {
        /// Its text, from which it is compiled for each connection.
        let sql: [UInt8]
        /// Whether it can only run on the session's own connection.
        var needsOverlay = false
        /// As it is compiled for that; nil: it must be.
        var overlay: Statement?

        init(sql: [UInt8]) { self.sql = sql }
    }

    private var places: [Prepared?] = []
    /// No place before this one is free.
    private var firstFree = 0
    private(set) var count = 0
    /// Bytes of the texts.
    private(set) var byteCount = 0

    subscript(number: UInt32) -> Prepared? {
        Int(number) < self.places.count ? self.places[Int(number)] : nil
    }

    /// Gives the statement the lowest number that is free.
    mutating func insert(_ prepared: Prepared) -> UInt32 {
        while self.firstFree < self.places.count, self.places[self.firstFree] != nil { self.firstFree += 1 }
        if self.firstFree == self.places.count {
            self.places.append(prepared)
        } else {
            self.places[self.firstFree] = prepared
        }
        self.count += 1
        self.byteCount += prepared.sql.count
        return UInt32(self.firstFree)
    }

    /// Frees a number.
    ///
    /// - Returns: Whether it was in use.
    mutating func remove(_ number: UInt32) -> Bool {
        guard let prepared = self[number] else { return false }
        self.byteCount -= prepared.sql.count
        self.places[Int(number)] = nil
        self.firstFree = min(self.firstFree, Int(number))
        self.count -= 1
        return true
    }

    /// Drops what was compiled for the overlay, not the statements.
    mutating func forgetCompiled() {
        for place in self.places { place?.overlay = nil }
    }

    mutating func removeAll() { self = StatementRegistry() }
}
