import DqliteFuzzing

/// Runs one input; a broken rule ends the process, which is how libFuzzer learns of it and keeps the input.
func run(_ target: FuzzTarget, _ data: UnsafePointer<UInt8>?, _ size: Int) -> CInt {
    do throws {
        try target.run(UnsafeRawBufferPointer(start: data, count: size))
    } catch {
        fatalError("\(error)")
    }
    return 0
}
