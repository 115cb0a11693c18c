# Examples as they were built for each released minor of the ABI, in today's host.
if(CMAKE_SYSTEM_PROCESSOR STREQUAL "x86_64")
  magnum_add_system_test(abi_kept RING component TIMEOUT 300)
endif()
