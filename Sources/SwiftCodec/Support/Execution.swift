// SPDX-License-Identifier: BSD-3-Clause
internal import CCodecKernels

/// An instruction-set variant of the kernels. All give the same bytes.
public struct CPU: Sendable, Equatable {
  let rawValue: Int

  /// Names of all variants of this architecture, weakest first; the processor may lack some.
  public static var names: [String] {
    var names: [String] = []
    while let name = sc_cpu_name(Int32(names.count)) { names.append(String(cString: name)) }
    return names
  }

  /// The variants that this processor has.
  public static var available: [CPU] {
    names.indices.filter { sc_kernels_get(sc_cpu(UInt32($0))) != nil }.map { CPU(rawValue: $0) }
  }

  /// The plain C reference.
  public static var scalar: CPU { CPU(rawValue: 0) }

  /// The strongest variant that this processor has.
  public static var best: CPU { CPU(rawValue: Int(sc_kernels_best().pointee.cpu.rawValue)) }

  private init(rawValue: Int) { self.rawValue = rawValue }

  /// The variant of a name; nil if there is none or this processor lacks it.
  public init?(name: String) {
    guard let cpu = CPU.available.first(where: { Array($0.name.utf8) == Array(name.utf8) }) else { return nil }
    self = cpu
  }

  /// As `--cpu` and `init(name:)` spell it.
  public var name: String { String(cString: sc_cpu_name(Int32(rawValue))) }

  var kernels: UnsafePointer<sc_kernels> { sc_kernels_get(sc_cpu(UInt32(rawValue))) }
}

/// How to run: never changes any result.
public struct Execution: Sendable {
  /// 1…1024; other numbers become the nearest of these.
  public var threads = 1 { didSet { threads = min(max(threads, 1), 1024) } }
  /// The variant of the kernels.
  public var cpu = CPU.best
  /// Output rows that pass through a network at a time, at most 65536; 0 for the default.
  public var stripeRows = 0 { didSet { stripeRows = min(max(stripeRows, 0), 65536) } }
  /// Where memory is taken from and left; nil for the allocator.
  var pool: MemoryPool?

  /// One thread, the strongest variant.
  public init() {}

  /// What is left for each of some jobs that run side by side.
  package func inside(parallel jobs: Int) -> Execution {
    var inner = self
    inner.threads = max(1, threads / max(1, jobs))
    return inner
  }
}
